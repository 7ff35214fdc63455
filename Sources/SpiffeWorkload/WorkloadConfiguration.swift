package import Attribution
import FoundationEssentials
package import NIOCore
package import SpiffeIdentity

/// The limits and times of the endpoint.
package struct WorkloadConfiguration: Sendable {
    package var trustDomain: TrustDomain
    /// The addresses, with the port, that TCP clients may name in `:authority`.
    package var authorities: [OriginalDestination]
    /// How long a first answer is held for a pod that is not known yet, and for a signer that does not answer.
    package var holdLimit = Duration.seconds(10)
    /// The share of a certificate's life after which it is renewed; a tenth of it is added or taken away at random.
    package var renewalShare = 0.5
    /// The time over which pushes of a new bundle are spread.
    package var bundleSpread = Duration.seconds(30)
    /// How often the bundle is read.
    package var bundleInterval = Duration.seconds(30)
    /// How long a final no, and a failure, are remembered.
    package var deniedMemory = Duration.seconds(30)
    package var failedMemory = Duration.seconds(1)
    /// A token that has less than this left is not served.
    package var leastTokenLife = Duration.seconds(60)
    /// Sets of audiences that one pod may hold tokens for at once.
    package var tokensPerPod = 64
    /// Tokens of one pod that are being fetched at once.
    package var tokenFetchesPerPod = 8
    package var connectionsPerPod = 16
    package var streamsPerConnection = 32
    package var streamsPerPod = 64
    /// The bytes of one request message: audiences, or a token to verify.
    package var messageBytes = 64 * 1024
    /// The bytes of one request for secrets: Envoy lists all of its extensions in each.
    package var secretRequestBytes = 256 * 1024
    /// The bytes of requests that are kept at once, of one pod and of all: unfinished, or waiting for their answer.
    package var pendingBytes = (pod: 1 << 20, all: 16 << 20)
    package var headerBytes = 16 * 1024
    /// How long a connection may be open without a call.
    package var idleTime = TimeAmount.minutes(5)
    /// How long a call may take to bring its message.
    package var requestTime = TimeAmount.seconds(10)

    package init(trustDomain: TrustDomain, authorities: [OriginalDestination]) {
        self.trustDomain = trustDomain
        self.authorities = authorities
    }

    func memory(of failure: IssueFailure) -> Duration {
        failure.rest ?? (failure.kind == .unavailable ? failedMemory : deniedMemory)
    }

    /// The longest life that a certificate or token counts as having, in seconds: a signer may write an end beyond a clock's
    /// range.
    static let longestLife: TimeInterval = 366 * 86_400

    /// The time until a certificate is renewed that was just obtained, or could not be renewed.
    func renewalDelay(of svid: X509SVID?, failed: Bool) -> TimeAmount {
        guard let svid else { return .seconds(30) }
        let left = min(max(svid.notAfter.timeIntervalSinceNow, 0), Self.longestLife)
        let jitter = Double.random(in: 0.9...1.1)
        // A failure is followed by tries until the very end, the last of them a second apart.
        if failed { return .milliseconds(Int64(min(max(left / 8, 1), 300) * jitter * 1000)) }
        return .milliseconds(Int64(left * renewalShare * jitter * 1000))
    }
}
