import Attribution
import Crypto
import Foundation
import Lab
import NIOCore
import NIOPosix
import SwiftASN1
import Synchronization
import X509

@testable import Signer
@testable import SpiffeIdentity
@testable import SpiffeWorkload

/// A signer in the same process, which can be held and made to fail.
final class FakeSigner: SVIDIssuing {
    struct State {
        var requests = 0
        var tokenRequests = 0
        var bundle: TrustBundle
        var failure: IssueFailure?
        var authority: SigningAuthority
        var gate: [CheckedContinuation<Void, Never>]?
    }

    static let domain = known(TrustDomain("test.example"))
    private let key = P256.Signing.PrivateKey()
    let state: Mutex<State>
    let seconds: Double

    init(seconds: Double = 3600) throws {
        self.seconds = seconds
        let (authority, der) = try Self.makeAuthority("root")
        state = Mutex(
            State(
                bundle: TrustBundle(
                    trustDomain: Self.domain, authorities: [der], keys: [TrustBundle.Key(key.publicKey)]),
                authority: authority))
    }

    static func makeAuthority(_ name: String) throws -> (SigningAuthority, [UInt8]) {
        let root = try LabPKI(name: name)
        let authority = try SigningAuthority(chainPEM: root.authorityPEM, keyPEM: root.authorityKeyPEM)
        return (authority, authority.der)
    }

    /// Holds every exchange until ``open()``.
    func hold() { state.withLock { $0.gate = [] } }

    func open() {
        let waiting = state.withLock { state in
            defer { state.gate = nil }
            return state.gate ?? []
        }
        for continuation in waiting { continuation.resume() }
    }

    private func pass() async {
        await withCheckedContinuation { continuation in
            let isHeld = state.withLock { state in
                state.gate?.append(continuation)
                return state.gate != nil
            }
            if !isHeld { continuation.resume() }
        }
    }

    func certificate(for pod: PodRecord, request: [UInt8]) async throws(IssueFailure) -> [[UInt8]] {
        state.withLock { $0.requests += 1 }
        await pass()
        let (failure, authority) = state.withLock { ($0.failure, $0.authority) }
        if let failure { throw failure }
        let id = known(
            SpiffeID(Self.domain, namespace: pod.namespace, serviceAccount: pod.serviceAccountName))
        do { return try authority.sign(request, as: id, for: seconds).chain } catch {
            throw IssueFailure(.denied, error.description)
        }
    }

    func token(
        for pod: PodRecord, container: String?, audience: [String]
    ) async throws(IssueFailure) -> String {
        state.withLock { $0.tokenRequests += 1 }
        await pass()
        if let failure = state.withLock(\.failure) { throw failure }
        let id = known(
            SpiffeID(Self.domain, namespace: pod.namespace, serviceAccount: pod.serviceAccountName))
        let claims: [String: JSONValue] = [
            "sub": .string(id.description), "aud": .array(audience.map { .string($0) }),
            "exp": .number(Date().timeIntervalSince1970 + seconds),
        ]
        do { return try JWTSVID.sign(claims, with: key, id: TrustBundle.Key(key.publicKey).id) } catch {
            throw IssueFailure(.denied, error.description)
        }
    }

    func bundle() async throws(IssueFailure) -> TrustBundle {
        let (bundle, failure) = state.withLock { ($0.bundle, $0.failure) }
        if let failure { throw failure }
        return bundle
    }
}

struct QuietObserver: WorkloadObserver {
    func ended(_ method: WorkloadMethod?, with status: GRPCStatus.Code) {}
    func refused(_ pod: PodRecord?, _ method: WorkloadMethod?, _ status: GRPCStatus) {}
    func issued(_ svid: IssuedSVID, for pod: PodRecord, took: Duration) {}
    func failed(_ kind: IssuedSVID.Kind, for pod: PodRecord, _ failure: IssueFailure) {}
    func pushed(_ method: WorkloadMethod) {}
    func rejected() {}
    func connectionRefused() {}
}

/// A value that a test has written down itself.
func known<Value>(_ value: Value?) -> Value {
    guard let value else { preconditionFailure("the test's own value is none") }
    return value
}
