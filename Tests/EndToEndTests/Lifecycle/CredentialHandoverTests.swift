import AgentTesting
import Lab
import Testing

/// Tokens pass to a successor: an upgrade asks no upstream for what pods hold already.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct CredentialHandoverTests {
    private static let podCount = 30

    @Test("an upgrade makes no upstream call for pods that hold tokens, and each keeps its own")
    func upgrade() async throws {
        try await withWorld { world in
            let first = try await world.startAgent()
            world.addServiceAccount("direct")
            world.addServiceAccount("acting", impersonating: "acting@lab-project.iam.gserviceaccount.com")
            var pods: [RunningPod] = []
            for number in 0..<Self.podCount {
                let account = number.isMultiple(of: 2) ? "direct" : "acting"
                pods.append(try await world.addPod("pod-\(number)", serviceAccount: account))
            }
            var before: [String] = []
            for pod in pods { before.append(try await pod.token().accessToken) }
            #expect(Set(before).count == Self.podCount)
            let calls = world.mintingCalls
            #expect(calls >= 2 * Self.podCount)

            let second = try await world.startAgent()
            let replaced = await first.result()
            #expect(replaced.errorOutput.contains("credentials handed to a successor"), "\(replaced.errorOutput)")
            var after: [String] = []
            for pod in pods { after.append(try await pod.token().accessToken) }
            #expect(after == before)
            #expect(world.mintingCalls == calls)

            // A crash does not give what an upgrade gives.
            await second.kill()
            let third = try await world.startAgent()
            #expect(try await pods[0].token().accessToken != before[0])
            #expect(world.mintingCalls > calls)
            print("UPGRADE of \(Self.podCount) pods: \(calls) calls before it, 0 for it")
            await third.stop()
        }
    }

    @Test("credentials go to root with a descriptor of the pin directory, and to no other process")
    func strangers() async throws {
        try await withWorld { world in
            let first = try await world.startAgent()
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.token()
            let endpoint = world.node.directory + "/handover.sock"
            let script = """
                import os, socket, struct, sys
                s = socket.socket(socket.AF_UNIX)
                s.connect(sys.argv[1])
                message = b"nidh" + struct.pack(">BBHII", 1, 6, 0, 0, 1)
                place = sys.argv[2] + ("/lock" if sys.argv[3] == "lock" else "")
                proof = os.open(place, os.O_PATH | os.O_NOFOLLOW)
                socket.send_fds(s, [message], [] if sys.argv[3] == "nothing" else [proof])
                data = b""
                try:
                    while True:
                        more = s.recv(65536)
                        if not more: break
                        data += more
                except OSError:
                    pass
                print(data[8:12].decode(), b"ya29." in data)
                """
            let command = ["python3", "-c", script, endpoint, world.pinDirectory]
            #expect(try await Command.require(command + ["nothing"]) == " False\n")
            // The proof of a hello is shown to any process that listens, and so proves too little.
            #expect(try await Command.require(command + ["lock"]) == " False\n")
            #expect(try await Command.require(command + ["directory"]) == "nidt True\n")
            #expect(first.isRunning)
            #expect(try await pod.token().expiresIn > 0)
            await first.stop()
        }
    }
}

extension LabWorld {
    /// TokenRequests, exchanges and impersonations so far.
    fileprivate var mintingCalls: Int {
        cluster.kubernetesServer.requests.events.count { $0.path.hasSuffix("/token") }
            + cluster.securityTokenServiceServer.requests.events.count
            + cluster.iamCredentialsServer.requests.events.count
    }
}
