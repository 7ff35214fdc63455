import Attribution
import Testing

@testable import Tokens

/// Credentials on their way from an agent to its successor.
@Suite(.timeLimit(.minutes(10))) struct HeldCredentialsTests {
    private let pod = PodRecord.sample()
    private let account = ServiceAccountRecord.direct

    /// A token that a predecessor holds, as another agent reads it.
    private func held(_ world: World) async throws -> HeldCredentials {
        _ = try await world.service.serviceAccount(of: pod)
        _ = try await world.token(pod, account)
        return try #require(HeldCredentials(parsing: world.service.heldCredentials().bytes))
    }

    /// Has a successor whose own list has `record` adopt them; the number of tokens that it took.
    private func adopt(_ held: HeldCredentials, in world: World, knowing record: PodRecord?) -> Int {
        world.service.adopt(held, askedAt: world.clock.now) { _ in record }
    }

    private func cached(_ world: World) -> ServedToken? {
        world.service.cachedAccessToken(for: pod, account: account, scopes: .default)
    }

    @Test func aSuccessorServesItsPredecessorsTokenWithoutACall() async throws {
        try await World.run { predecessor in
            predecessor.upstream.set(account)
            let held = try await held(predecessor)
            predecessor.clock.advance(by: .seconds(60))
            #expect(held.tokenCount == 1)
            try await World.run { world in
                #expect(adopt(held, in: world, knowing: pod) == 1)
                let token = try #require(cached(world))
                #expect(token.expiresIn == 3600)
                #expect(token.token == held.tokens[0].token)
                #expect(world.service.cachedServiceAccount(of: pod) == account)
                #expect(world.upstream.count(.exchange) == 0 && world.upstream.count(.subject) == 0)
                // The token's end is what it was, and a refresh is due as it was.
                world.clock.advance(by: .seconds(3600 - 719))
                #expect(cached(world) != nil)
                await eventually { world.upstream.count(.exchange) == 1 }
            }
        }
    }

    /// A full node: 110 pods is what a kubelet runs unless told otherwise.
    @Test func aFullNodesTokensPassWithoutACall() async throws {
        let pods = (0..<110).map { PodRecord.sample("pod-\($0)") }
        let records = Dictionary(uniqueKeysWithValues: pods.map { ($0.uid, $0) })
        try await World.run { predecessor in
            predecessor.upstream.set(account)
            for pod in pods { _ = try await predecessor.token(pod, account) }
            let held = try #require(HeldCredentials(parsing: predecessor.service.heldCredentials().bytes))
            #expect(held.tokenCount == 110)
            try await World.run { world in
                let count = world.service.adopt(held, askedAt: world.clock.now) { records[$0] }
                #expect(count == 110)
                for pod in pods {
                    let token = world.service.cachedAccessToken(for: pod, account: account, scopes: .default)
                    let before = held.tokens.first(where: { $0.key.pod == pod.uid })
                    #expect(token != nil && token?.token == before?.token)
                }
                #expect(world.upstream.count(.exchange) == 0 && world.upstream.count(.subject) == 0)
            }
        }
    }

    @Test func timeOnTheWayCountsAgainstAToken() async throws {
        try await World.run { predecessor in
            predecessor.upstream.set(account)
            let held = try await held(predecessor)
            try await World.run { world in
                let askedAt = world.clock.now
                world.clock.advance(by: .seconds(5))
                let count = world.service.adopt(held, askedAt: askedAt) { _ in pod }
                #expect(count == 1)
                #expect(cached(world)?.expiresIn == 3595)
                world.clock.advance(by: .seconds(3600))
                #expect(cached(world) == nil)
            }
        }
    }

    @Test func onlyPodsOfTheSuccessorsOwnListGetAnything() async throws {
        try await World.run { predecessor in
            predecessor.upstream.set(account)
            let held = try await held(predecessor)
            try await World.run { world in
                #expect(adopt(held, in: world, knowing: nil) == 0)
                // Another pod's record, another ServiceAccount's, and a pod that has finished.
                var other = PodRecord.sample()
                other.uid = try #require(PodUID("aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"))
                #expect(adopt(held, in: world, knowing: other) == 0)
                var renamed = pod
                renamed.serviceAccountName = "another"
                #expect(adopt(held, in: world, knowing: renamed) == 0)
                // A restored backup brought the UID back with another pod, and the predecessor had missed the end of the first.
                var restored = pod
                restored.name = "restored"
                #expect(adopt(held, in: world, knowing: restored) == 0)
                var finished = pod
                finished.phase = .succeeded
                #expect(adopt(held, in: world, knowing: finished) == 0)
                // A pod that went while the hand-over was on its way.
                world.service.forget(pod.uid)
                #expect(adopt(held, in: world, knowing: pod) == 0)
                let accounts = world.service.read { $0.serviceAccounts.count }
                #expect(world.service.snapshot().isEmpty && accounts == 0)
            }
        }
    }

    @Test func whatTheSuccessorHasIsNotReplaced() async throws {
        try await World.run { predecessor in
            predecessor.upstream.set(account)
            let held = try await held(predecessor)
            try await World.run { world in
                world.upstream.set(account)
                let own = try await world.token(pod, account)
                #expect(adopt(held, in: world, knowing: pod) == 0)
                #expect(cached(world)?.token == own.token)
            }
        }
    }

    @Test func noMoreIsTakenOverThanAPodMayHold() async throws {
        try await World.run { world in
            let limit = TokenServiceConfiguration().accessTokensPerPod
            var held = HeldCredentials()
            for number in 0..<(2 * limit) {
                let key = TokenKey(pod: pod.uid, account: account, kind: .accessToken(ScopeSet(["scope-\(number)"])))
                held.tokens.append(
                    .init(
                        key: key, podName: pod.name, account: account.reference, token: SecretToken("token-\(number)"),
                        age: .zero,
                        remaining: .seconds(3600)))
            }
            #expect(adopt(held, in: world, knowing: pod) == limit)
        }
    }

    @Test func everyFormOfATokenReadsBackAsItWas() throws {
        let identity = CloudIdentity(cloud: CloudName("aws"), principal: "arn", annotations: ["a": "1", "b": "2"])
        let kinds: [(TokenKey.Target, TokenKey.Kind)] = [
            (.federated, .accessToken(.default)), (.googleServiceAccount("a@b"), .identityToken(audience: "https://x")),
            (.federated, .federation), (.serviceAccount, .podToken(audience: "vault")),
            (.cloud(identity), .cloudCredential(resource: "r")),
        ]
        var held = HeldCredentials()
        var record = account
        record.annotations = ["eks.amazonaws.com/role-arn": "arn"]
        record.quotaProject = "project"
        held.accounts = [.init(record: record, age: .milliseconds(1_500))]
        held.tokens = kinds.map { target, kind in
            .init(
                key: TokenKey(
                    pod: pod.uid, serviceAccountUID: account.uid, target: target, kind: kind, quotaProject: "q"),
                podName: pod.name, account: account.reference, token: SecretToken("t"), age: .seconds(1),
                remaining: .seconds(2),
                subjectID: "jti")
        }
        #expect(HeldCredentials(parsing: held.bytes) == held)
        #expect(HeldCredentials(parsing: HeldCredentials().bytes) == HeldCredentials())
    }

    @Test func whatIsCutAlteredOrOfAnotherVersionIsNothing() async throws {
        try await World.run { world in
            world.upstream.set(account)
            _ = try await held(world)
            let bytes = world.service.heldCredentials().bytes
            #expect(HeldCredentials(parsing: bytes) != nil)
            for length in 0..<bytes.count { #expect(HeldCredentials(parsing: Array(bytes.prefix(length))) == nil) }
            #expect(HeldCredentials(parsing: bytes + [0]) == nil)
            var newer = bytes
            newer[4] = HeldCredentials.version + 1
            #expect(HeldCredentials(parsing: newer) == nil)
            // A count that nothing bounds, a text without an end, a time beyond any token's.
            for position in [5, 9] {
                var hostile = bytes
                hostile.replaceSubrange(position..<(position + 4), with: [0xff, 0xff, 0xff, 0xff])
                #expect(HeldCredentials(parsing: hostile) == nil)
            }
            #expect(HeldCredentials(parsing: [UInt8](repeating: 0, count: HeldCredentials.sizeLimit + 1)) == nil)
        }
    }
}
