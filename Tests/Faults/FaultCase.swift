import AgentTesting
import Foundation
import Lab

/// A fault of one upstream, and what a pod without a token must see of it.
struct FaultCase: Sendable {
    /// The status that the pod must see.
    enum Outcome: Sendable {
        /// This status, with `Retry-After`, the upstream's name and these words.
        case failure(String, status: Int = 503, retryAfter: ClosedRange<Int> = 1...5)
        /// A token that lives about this many seconds and has this many characters at least.
        case token(seconds: Int, length: Int = 1)
    }

    typealias Step = @Sendable (LabWorld, AgentProcess, LabHTTPServer) async throws -> Void

    var name: String
    var outcome: Outcome
    /// The words of the agent's log about it; `nil`: those that the pod gets.
    var logged: String?
    /// The upstream to blame, if it is not the one whose fault it is.
    var blamed: Upstream?
    var configure: @Sendable (inout LabCluster.Configuration) -> Void = { _ in }
    var begin: Step
    var end: Step

    /// Whether the agent remembers the refusal for some ten seconds: no pod is served before.
    var isLong: Bool {
        if case .failure(_, _, let retryAfter) = outcome { retryAfter.lowerBound > 5 } else { false }
    }

    /// A fault that the server shows on requests.
    init(_ name: String, _ effect: FaultEffect, _ outcome: Outcome, logged: String? = nil) {
        self.init(name, outcome, logged: logged) { _, _, server in
            server.faults.inject(effect)
        } end: { _, _, server in
            server.faults.clear()
        }
    }

    init(
        _ name: String, _ outcome: Outcome, logged: String? = nil, blamed: Upstream? = nil,
        configure: @escaping @Sendable (inout LabCluster.Configuration) -> Void = { _ in }, begin: @escaping Step,
        end: @escaping Step
    ) {
        self.name = name
        self.outcome = outcome
        self.logged = logged
        self.blamed = blamed
        self.configure = configure
        self.begin = begin
        self.end = end
    }
}

extension FaultCase {
    /// Every fault of `upstream`.
    static func table(_ upstream: Upstream) -> [FaultCase] {
        let unusable = upstream == .kubernetes ? "the answer is no ServiceAccount" : "not the JSON that was expected"
        let error = #"{"error":{"message":"the lab says no"},"message":"the lab says no"}"#
        return [
            FaultCase("down", .failure("connection refused")) { _, _, server in
                await server.takeDown()
            } end: { _, _, server in
                try await server.bringUp()
            },
            // Connections that are open already must go first: this fault meets new ones only.
            FaultCase("reset on accept", .failure("connection closed")) { _, _, server in
                await server.takeDown()
                server.faults.inject(.resetOnAccept)
                try await server.bringUp()
            } end: { _, _, server in
                server.faults.clear()
            },
            FaultCase("reset after request", .resetAfterRequest, .failure("connection closed")),
            FaultCase("closed unanswered", .drop, .failure("connection closed")),
            FaultCase("5 s slow", .delay(.seconds(5)), .failure("timed out")),
            FaultCase("hang", .hang, .failure("timed out")),
            FaultCase(
                "429", .status(429, body: error, retryAfterSeconds: 2),
                .failure("returned 429 Too Many Requests: the lab says no", status: 429, retryAfter: 2...3),
                logged: "says no"),
            FaultCase(
                "500", .status(500, body: error), .failure("500 Internal Server Error: the lab says no"),
                logged: "says no"),
            FaultCase(
                "503", .status(503, body: error), .failure("503 Service Unavailable: the lab says no"),
                logged: "says no"),
            FaultCase("malformed JSON", .malformedJSON, .failure(unusable)),
            FaultCase("garbage", .garbage, .failure("not HTTP")),
            FaultCase("cut body", .truncatedBody, .failure("connection closed")),
            FaultCase("expired server certificate", .failure("CERTIFICATE_VERIFY_FAILED")) { world, _, server in
                try await world.cluster.replaceCertificate(of: server, notAfter: Date(timeIntervalSinceNow: -60))
            } end: { world, _, server in
                try await world.cluster.replaceCertificate(of: server, notAfter: Date(timeIntervalSinceNow: 3600))
            },
        ] + tokens(upstream) + clocks(upstream)
    }

    /// Tokens as long as Google's may be, 12 KB.
    private static func tokens(_ upstream: Upstream) -> [FaultCase] {
        let length = 12_288
        let outcome = Outcome.token(seconds: 3600, length: upstream == .sts ? length : 1)
        return switch upstream {
        case .kubernetes:
            [
                FaultCase("12 KB token", outcome) {
                    // Base64 makes 4 bytes of 3.
                    $0.kubernetes.paddingClaimBytes = length * 3 / 4
                } begin: { _, _, _ in
                } end: { _, _, _ in
                },
                FaultCase("expired node certificate", .failure("node credentials refused")) { world, agent, _ in
                    try await world.rotateNodeCertificate(agent, notAfter: Date(timeIntervalSinceNow: -1))
                } end: { world, _, _ in
                    try world.cluster.rotateNodeCertificate(notAfter: Date(timeIntervalSinceNow: 3600))
                },
            ]
        case .sts:
            [
                FaultCase("12 KB token", outcome) { world, _, _ in
                    world.cluster.securityTokenService.setTokenLength(length)
                } end: { _, _, _ in
                }
            ]
        case .iam:
            [
                FaultCase("12 KB token", .token(seconds: 3600, length: length)) { world, _, _ in
                    world.cluster.iamCredentials.setTokenLength(length)
                } end: { _, _, _ in
                }
            ]
        }
    }

    /// The upstream's clock is wrong, seen from all others.
    private static func clocks(_ upstream: Upstream) -> [FaultCase] {
        // Two new tokens in a row were not new enough: no third is tried for about 10 s.
        let stale = "stale to sign-in"
        let (ahead, behind): (Outcome, Outcome) =
            switch upstream {
            // STS takes no token from the future; one from the past ends earlier by STS's clock.
            case .kubernetes: (.failure(stale, retryAfter: 8...12), .token(seconds: 3000))
            case .sts: (.token(seconds: 3000), .failure(stale, retryAfter: 8...12))
            // IAM measures its own tokens by its own clock.
            case .iam: (.token(seconds: 3600), .token(seconds: 3600))
            }
        return [("clock 10 min ahead", 600, ahead), ("clock 10 min behind", -600, behind)].map {
            name, seconds, outcome in
            FaultCase(name, outcome, blamed: upstream == .kubernetes ? .sts : nil) { world, agent, _ in
                if upstream == .kubernetes {
                    try await world.rotateNodeCertificate(
                        agent, notBefore: Date(timeIntervalSinceNow: -3600),
                        notAfter: Date(timeIntervalSinceNow: 86_400))
                }
                upstream.clock(world.cluster).advance(by: .seconds(seconds))
            } end: { world, _, _ in
                upstream.clock(world.cluster).advance(by: .seconds(-seconds))
            }
        }
    }
}
