import Foundation

/// S1 to S5: attacks on the SPIFFE endpoint, metadata over TLS, the signer and PodCertificateRequests. The attacker is a pod, a
/// process of the machine, or a stolen node. The control of each row is its own identity, which is given.
extension AttackSuite {
    static let spiffeHeld = "all refused as they should be"
    private var victimID: String { LabSigner.id("victim", "default") }
    private var ownID: String { LabSigner.id("mallory", "default") }

    var identities: [Attack] {
        [
            spiffe(
                "S1", .unprivileged, "another pod's SVID over the link-local port: names, headers, other ways there",
                control: { try await callsGiveOwn() }, otherCalls),
            spiffe(
                "S2", .ordinary, "another pod's SVID over the Unix socket: lent sockets, processes of the machine",
                control: { try await socketGivesOwn() }, otherPeers),
            spiffe(
                "S3", .unprivileged, "metadata over TLS with another pod's client certificate",
                control: { try await certificates().own == 200 }
            ) {
                let statuses = try await certificates()
                return statuses.foreign == 403 ? [] : ["the victim's certificate: \(statuses.foreign)"]
            },
            spiffe(
                "S4", .unprivileged, "the signer's exchange with tokens and requests that prove nothing",
                control: { try await exchange(try await ownProof(), audience: "x").status == 200 }, otherProofs),
            spiffe(
                "S5", .remote, "PodCertificateRequests for pods of other nodes, with a node's and a pod's credentials",
                control: { try await requested([:]) == 201 }, otherRequests),
        ]
    }

    // MARK: S1

    private func callsGiveOwn() async throws -> Bool {
        for (pod, id) in [(target, victimID), (mallory, ownID)] {
            guard SpiffeLoot(try await call(pod, [])).ids == [id] else { return false }
        }
        return true
    }

    private func otherCalls() async throws -> [String] {
        let secrets = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
        let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
        let port = "\(LabSigner.endpointPort)"
        // Each with the status that it must end with; `nil`: its own identity, or no answer at all.
        let own = "\(LabNode.metadataAddress):\(port)"
        let token = Self.frame([1: "x", 2: victimID])
        let cases: [(name: String, arguments: [String], status: Int?)] = [
            ("a token of the victim's ID", ["--path", "FetchJWTSVID", "--body", token], 7),
            ("the victim's secret for Envoy", ["--path", secrets, "--body", Self.frame([3: victimID, 4: kind])], 7),
            ("a header of a proxy", ["--header", "x-spiffe-id=\(victimID)"], nil),
            ("another authority", ["--authority", "victim.example:\(port)"], 3),
            ("the mapped address", ["--address", "::ffff:169.254.169.254", "--authority", own], nil),
            ("IPv6", ["--address", "fd20:ce::254"], nil),
            ("the victim's address", ["--address", target.address], nil),
            ("the agent's listener itself", ["--address", "127.0.0.1", "--port", "\(AgentProcess.port)"], nil),
            ("the victim's listener", ["--address", target.address, "--port", "\(AgentProcess.port)"], nil),
        ]
        var surprises: [String] = []
        for one in cases {
            let answer = try await call(mallory, one.arguments)
            surprises += surprise(one.name, answer)
            if let status = one.status, answer.grpcStatus != status {
                surprises.append("\(one.name): \(answer.grpcStatus.map(String.init) ?? answer.failure ?? "nothing")")
            }
        }
        // A process of the attacker's pod in the victim's network namespace is still the attacker's.
        let inside = try mallory.start(["nsenter", "--net=\(target.network.path)", "--"] + lab([]))
        return surprises + surprise("in the victim's network", try await answer(of: inside))
    }

    // MARK: S2

    private func socketGivesOwn() async throws -> Bool {
        for (pod, id) in [(target, victimID), (mallory, ownID)] {
            let answer = try await call(pod, ["--socket", stage.spiffeSocket], .ordinary)
            guard SpiffeLoot(answer).ids == [id] else { return false }
        }
        return true
    }

    private func otherPeers() async throws -> [String] {
        let words = lab(["--socket", stage.spiffeSocket])
        let host = try Command(words)
        var surprises = surprise("a process of the machine", try await answer(of: host), isOwnAllowed: false)
        let entered = try Command(["nsenter", "--net=\(target.network.path)", "--"] + words)
        surprises += surprise(
            "one in the victim's network", try await answer(of: entered), isOwnAllowed: false)
        let lent = try await call(withSocketOf: target, connectedBy: mallory.start)
        surprises += surprise("a socket that the victim made and the attacker connects", lent, isOwnAllowed: false)
        let taken = try await call(withSocketOf: target) { words, _ in try Command(words) }
        surprises += surprise("the same, connected by a process of the machine", taken, isOwnAllowed: false)
        return surprises
    }

    /// Calls over a Unix socket that one pod has made and another process connects.
    private func call(
        withSocketOf maker: RunningPod, connectedBy start: ([String], String?) throws -> Command
    ) async throws -> WorkloadResponse {
        let place = world.node.directory + "/lent-\(UUID().uuidString.prefix(8))"
        let making = """
            import socket, sys
            door = socket.socket(socket.AF_UNIX)
            door.bind(sys.argv[1])
            door.listen()
            print("listening", file=sys.stderr, flush=True)
            made = socket.socket(socket.AF_UNIX)
            peer = door.accept()[0]
            socket.send_fds(peer, [b"x"], [made.fileno()])
            peer.recv(1)
            """
        let taking = """
            import os, socket, sys
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(sys.argv[1])
            number = socket.recv_fds(peer, 1, 1)[1][0]
            made = socket.socket(fileno=number)
            made.connect(sys.argv[2])
            os.set_inheritable(number, True)
            os.execv(sys.argv[3], sys.argv[3:] + ["--descriptor", str(number)])
            """
        let lender = try await stage.began(maker.start(["python3", "-c", making, place]), "listening")
        let taker = try start(["python3", "-c", taking, place, stage.spiffeSocket] + lab([]), nil)
        let response = try await answer(of: taker)
        lender.signal(SIGKILL)
        _ = await lender.result()
        return response
    }

    // MARK: Calling

    private func lab(_ arguments: [String]) -> [String] { [world.binaries + "/podidentd-lab", "workload"] + arguments }

    private func call(
        _ pod: RunningPod, _ arguments: [String], _ attacker: Attacker = .unprivileged
    ) async throws -> WorkloadResponse {
        try await answer(of: try pod.start(attacker.confine(lab(arguments))))
    }

    private func answer(of command: Command) async throws -> WorkloadResponse {
        let output = try AttackStage.output(of: await command.result())
        return try JSONDecoder().decode(WorkloadResponse.self, from: Data(output.utf8))
    }

    /// Names the identities that an answer gives away.
    private func surprise(_ name: String, _ answer: WorkloadResponse, isOwnAllowed: Bool = true) -> [String] {
        let others = SpiffeLoot(answer).ids.subtracting(isOwnAllowed ? [ownID] : [])
        return others.isEmpty ? [] : ["\(name): AN SVID of \(others.sorted().joined(separator: ", "))"]
    }

    /// One message, framed, of text fields by number.
    private static func frame(_ fields: [Int: String]) -> String {
        let message = fields.sorted { $0.key < $1.key }.flatMap { field, text in
            [UInt8(field << 3 | 2), UInt8(text.utf8.count)] + Array(text.utf8)
        }
        return ([0, 0, 0, 0, UInt8(message.count)] + message).map { String(format: "%02x", $0) }.joined()
    }

    /// A row whose cases return surprises, tried while an agent serves identities.
    private func spiffe(
        _ number: String, _ attacker: Attacker, _ attempt: String,
        control: @escaping @Sendable () async throws -> Bool,
        _ surprises: @escaping @Sendable () async throws -> [String]
    ) -> Attack {
        var attack = Attack(number, attacker, attempt, .text(Self.spiffeHeld)) {
            guard try await control() else { throw AttackNotMounted("the attacker's own identity is not given") }
            let found = try await surprises()
            return found.isEmpty ? Self.spiffeHeld : found.joined(separator: "; ")
        }
        attack.service = .identities
        return attack
    }
}

/// The SPIFFE IDs that an answer's messages carry, in certificates, keys' names or tokens.
private struct SpiffeLoot {
    let ids: Set<String>

    init(_ answer: WorkloadResponse) {
        let texts = answer.messages.compactMap { Data(base64Encoded: $0) }.map { String(decoding: $0, as: UTF8.self) }
        // The byte after a name in a certificate may look like a digit: ServiceAccounts of the attack world are few.
        let pattern = /spiffe:\/\/lab\.example\/ns\/[a-z0-9-]+\/sa\/(?:default|cloud|admin|signer|podidentd)/
        ids = Set(texts.flatMap { $0.matches(of: pattern).map { String($0.output) } })
    }
}
