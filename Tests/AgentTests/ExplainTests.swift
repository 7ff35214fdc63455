import Attribution
import Clouds
import GoogleMetadata
import MetadataProtocol
import Operations
import Testing

@testable import Diagnostics
@testable import Tokens

private func uid(_ number: Int) throws -> PodUID {
    try #require(PodUID("00000000-0000-0000-0000-\(100_000_000_000 + number)"))
}

private func pod(_ name: String = "web", in namespace: String = "shop", number: Int = 1) throws -> PodRecord {
    PodRecord(uid: try uid(number), namespace: namespace, name: name, serviceAccountName: "app")
}

/// Tests what an operator is told to change, by how far an attempt to mint came.
@Suite struct ExplainRemediesTests {
    private static let account = ServiceAccountRecord(namespace: "shop", name: "app", uid: "u")
    private static let google = "reader@p.iam.gserviceaccount.com"

    private static func stages(
        _ steps: [TokenTrial.Step], failure: UpstreamFailure? = nil, as googleAccount: String? = nil,
        lifetime: Duration? = nil
    ) throws -> [Explanation.Stage] {
        var account = Self.account
        account.googleServiceAccount = googleAccount
        let attempts = steps.map { step in
            TokenTrial.Attempt(step: step, duration: .zero, failure: step == steps.last ? failure : nil)
        }
        let configuration = try TestConfiguration.load(["google.token-audience=https://audience.example"])
        let remedies = ExplainRemedies(
            configuration: configuration, failures: GoogleFailures(configuration.googleMetadata))
        return remedies.stages(
            of: TokenTrial(account: account, attempts: attempts, lifetime: lifetime), pod: try pod())
    }

    @Test func `a token that was minted is told, and never shown`() throws {
        let direct = try Self.stages([.serviceAccount, .tokenRequest, .exchange], lifetime: .seconds(3599))
        #expect(direct.map(\.name) == ["ServiceAccount", "TokenRequest", "Google STS", "IAM Credentials", "token"])
        #expect(direct.map(\.outcome) == [.ok, .ok, .ok, .skipped, .ok])
        #expect(direct[1].detail == "the API server minted for audience https://audience.example")
        #expect(direct[3].detail == "not needed: shop/app has no iam.gke.io/gcp-service-account")
        #expect(direct[4].detail == "minted for the federated principal of shop/app, ends in 3599 s; not shown")
        let impersonated = try Self.stages(TokenTrial.Step.allCases, as: Self.google, lifetime: .seconds(60))
        #expect(impersonated.allSatisfy { $0.outcome == .ok })
        #expect(impersonated[4].detail == "minted for \(Self.google), ends in 60 s; not shown")
    }

    @Test func `what follows a step that failed was not tried`() throws {
        let failure = UpstreamFailure(
            upstream: .kubernetes, kind: .denied, status: 403, message: "no right to the audience")
        let stages = try Self.stages([.serviceAccount, .tokenRequest], failure: failure)
        #expect(stages.map(\.outcome) == [.ok, .failed, .skipped, .skipped])
        #expect(stages[1].detail == "403, denied: no right to the audience")
        #expect(stages[3].detail == "not tried")
    }

    @Test func `each failure has a remedy that names who has to change what`() throws {
        typealias Failure = (UpstreamFailure.Upstream, UpstreamFailure.Kind, Int?, String)
        let cases: [(failure: Failure, step: TokenTrial.Step, remedy: String)] = [
            ((.kubernetes, .unavailable, 401, "Unauthorized"), .serviceAccount, "have they expired"),
            ((.kubernetes, .unavailable, nil, "TLS: unknown CA"), .serviceAccount, "correct certificate-authority in"),
            ((.kubernetes, .unavailable, 503, "later"), .serviceAccount, "kubernetes.kubeconfig fails; this may pass"),
            (
                (.kubernetes, .unavailable, nil, "timed out"), .serviceAccount,
                "check DNS, routes, proxies and firewalls"
            ),
            ((.kubernetes, .denied, 403, "no audience"), .tokenRequest, "request-serviceaccounts-token-audience"),
            ((.kubernetes, .rateLimited, 429, "slow"), .tokenRequest, "its quota has to be raised"),
            ((.securityTokenService, .unavailable, nil, "TLS: expired"), .exchange, "correct google.ca-file"),
            ((.securityTokenService, .denied, 403, "condition"), .exchange, "Check that the provider exists"),
            ((.securityTokenService, .staleSubjectToken, 400, "issuer x"), .exchange, "set the issuer of //iam"),
            (
                (.securityTokenService, .staleSubjectToken, 400, "audience x"), .exchange,
                #"add "https://audience.example" to the allowed audiences of //iam"#
            ),
            ((.securityTokenService, .staleSubjectToken, 400, "bad signature"), .exchange, "upload the JWKS again"),
            ((.securityTokenService, .staleSubjectToken, 400, "too early"), .exchange, "compare the clocks"),
            ((.iamCredentials, .staleSubjectToken, 401, "audience"), .impersonation, "try again in a minute"),
            ((.iamCredentials, .notFound, 404, "gone"), .impersonation, "create \(Self.google), or correct"),
            ((.iamCredentials, .denied, 403, "no"), .impersonation, "Grant roles/iam.workloadIdentityUser on it to"),
        ]
        for (failure, step, remedy) in cases {
            let (upstream, kind, status, message) = failure
            let stage = try Self.stages(
                [step], failure: UpstreamFailure(upstream: upstream, kind: kind, status: status, message: message),
                as: Self.google
            ).first { $0.outcome == .failed }
            #expect(stage?.remedy?.contains(remedy) == true, "\(failure): \(stage?.remedy ?? "none")")
            // The first line of a pod's answer repeats the failure, and the links are for the pod's owner.
            #expect(stage?.remedy?.contains("Unable to") == false && stage?.remedy?.contains("https://cloud") == false)
        }
    }
}

/// A pod's own stages, and which pod is meant.
@Suite struct PodExplainerTests {
    @Test func `a name means one pod of this node, or says what to do`() throws {
        let pods = [try pod("web"), try pod("web", in: "test", number: 2), try pod("db", number: 3)]
        func found(_ query: String) -> PodRecord? { try? PodExplainer.find(query, among: pods, node: "n").get() }
        func stage(_ query: String) -> Explanation.Stage? {
            if case .failure(let none) = PodExplainer.find(query, among: pods, node: "n") { none.stage } else { nil }
        }
        #expect(found("db") == pods[2] && found("shop/web") == pods[0] && found("test/web") == pods[1])
        #expect(stage("web")?.detail == "2 pods of this node have that name: shop/web, test/web")
        for (query, command) in [
            ("test/db", "kubectl get pod -n test db -o wide"), ("api", "kubectl get pod -A -o wide | grep api"),
            ("a/shop/web", "kubectl get pod -A -o wide | grep a/shop/web"),
        ] {
            let none = stage(query)
            #expect(none?.outcome == .failed && none?.remedy?.hasPrefix("'\(command)'") == true, "\(query)")
        }
    }

    @Test func `a pod that can have no identity is told so, for one reason`() throws {
        var tooLarge = try pod()
        tooLarge.isTooLarge = true
        // Nothing else is sure of a pod that is too large.
        tooLarge.phase = .succeeded
        var mirror = try pod()
        mirror.staticPodConfigHash = String(repeating: "a", count: 32)
        var finished = try pod()
        finished.phase = .failed
        finished.isTerminating = true
        var leaving = try pod()
        leaving.isTerminating = true
        for (pod, name, outcome) in [
            (tooLarge, "object", .failed), (mirror, "kind", .failed), (finished, "phase", .failed),
            (leaving, "phase", .warning),
        ] as [(PodRecord, String, Explanation.Stage.Outcome)] {
            let stages = PodExplainer.kindStages(of: pod)
            #expect(stages.map(\.name) == [name] && stages.map(\.outcome) == [outcome])
        }
        var ruled = try pod()
        #expect(PodExplainer.kindStages(of: ruled) == [])
        for policy in [PodPolicy.attribute, .deny, .passthrough] {
            ruled.policy = policy
            let stages = PodExplainer.policyStages(of: ruled)
            #expect(stages.map(\.outcome) == (policy == .attribute ? [] : [.failed]))
            #expect(stages.allSatisfy { $0.detail.hasPrefix(policy.rawValue) })
        }
    }

    @Test func `a pod's cgroups are those of its UID, or of its manifest's hash`() throws {
        let root = try KubepodsRoot("/kubepods")
        let hash = String(repeating: "a", count: 32)
        func entry(_ id: UInt64, _ uid: PodUID, _ kind: PodCgroupPath.Level = .pod) -> CgroupIndexEntry {
            CgroupIndexEntry(id: CgroupID(rawValue: id), path: [], uid: uid, kind: kind)
        }
        let entries = [
            entry(7, try uid(1)), entry(8, try uid(1), .container), entry(9, try uid(1), .container),
            entry(10, try uid(2)), entry(11, try #require(PodUID(hash))), entry(12, try uid(4), .container),
        ]
        func stage(_ pod: PodRecord) -> Explanation.Stage {
            PodExplainer.cgroupStage(of: pod, among: entries, below: root)
        }
        let ordinary = try pod()
        #expect(stage(ordinary) == Explanation.Stage("cgroup", .ok, "7, 2 containers below"))
        var mirror = try pod(number: 3)
        mirror.staticPodConfigHash = hash
        #expect(stage(mirror).detail == "11, 0 containers below")
        // A container's cgroup without its pod's is none.
        var orphan = try pod(number: 4)
        #expect(
            stage(orphan).outcome == .failed && stage(orphan).remedy?.hasPrefix("is /kubepods this kubelet's") == true)
        orphan.phase = .pending
        #expect(stage(orphan).remedy?.hasPrefix("no container of it has started yet") == true)
    }
}

/// A pod's credentials of another cloud.
@Suite(.timeLimit(.minutes(10))) struct CloudExplainerTests {
    /// An API server that grants nothing.
    private struct Denying: SubjectTokenIssuing, ServiceAccountReading {
        private static let failure = UpstreamFailure(
            upstream: .kubernetes, kind: .denied, status: 403, message: "not granted")

        func issueSubjectToken(
            for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
        ) async throws(UpstreamFailure) -> SubjectToken {
            throw Self.failure
        }

        func serviceAccount(
            _ reference: ServiceAccountReference
        ) async throws(UpstreamFailure) -> ServiceAccountRecord {
            throw Self.failure
        }
    }

    private static let role = "arn:aws:iam::111122223333:role/reader"

    private static func account(_ role: String?, googleServiceAccount: String? = nil) -> ServiceAccountRecord {
        ServiceAccountRecord(
            namespace: "shop", name: "app", uid: "u", googleServiceAccount: googleServiceAccount,
            annotations: role.map { ["eks.amazonaws.com/role-arn": $0] } ?? [:])
    }

    @Test func `an identity of another cloud is told, then how far its credential came`() async throws {
        let configuration = try TestConfiguration.load([
            "clouds=google, aws", "aws.region=eu-west-1", "aws.role-allow=shop=\(Self.role)",
        ])
        let modules = try CloudModules.make(
            configuration, CloudParts(place: NodePlace(), sessionTokens: SessionTokens(key: SessionTokens.makeKey())))
        let tokens = TokenService(
            issuer: Denying(), accounts: Denying(), exchanger: NoGoogleTokenExchange(),
            clouds: modules.map { $0.exchanger })
        let explainer = CloudExplainer(modules: modules, tokens: tokens)

        let web = try pod()
        #expect(await explainer.stages(of: web, Self.account(nil)) == [])
        let other = await explainer.stages(of: web, Self.account(Self.role + "-of-others"))
        #expect(other.map(\.name) == ["aws identity"] && other.map(\.outcome) == [.failed])
        #expect(other.first?.remedy?.contains("aws.role-allow") == true)
        let named = await explainer.stages(of: web, Self.account(Self.role))
        #expect(named.map(\.name) == ["aws identity", "aws TokenRequest"])
        #expect(named.map(\.outcome) == [.ok, .failed])
        #expect(named.first?.detail == "shop/app names \(Self.role)")
        #expect(named.last?.detail == "403, not granted" && named.last?.remedy?.isEmpty == false)

        #expect(explainer.isOthersAlone(Self.account(Self.role)))
        #expect(!explainer.isOthersAlone(Self.account(nil)))
        #expect(!explainer.isOthersAlone(Self.account(Self.role, googleServiceAccount: "a@p.iam.gserviceaccount.com")))
        for module in modules { await module.shutdown() }
    }
}
