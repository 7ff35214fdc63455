import AgentTesting
import Foundation
import Lab
import Testing

/// Connections to the Unix socket whose sockets are lent, whose tasks are moved, and whose process IDs are used again.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SpiffePeerTests {
    /// Connects in one of three ways, says with which process, waits to be told, and asks for an SVID on that connection.
    ///
    /// `lent`: the process moves to another cgroup before it connects; `moved`: after; `reused`: a child connects, passes the
    /// connection on, and ends.
    private static let script = """
        import os, signal, socket, sys
        way, path, other = sys.argv[1:4]
        def move():
            with open(other + "/cgroup.procs", "w") as file: file.write(str(os.getpid()))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        connector = os.getpid()
        if way == "reused":
            near, far = socket.socketpair()
            if (connector := os.fork()) == 0:
                made = socket.socket(socket.AF_UNIX)
                made.connect(path)
                socket.send_fds(far, [b"x"], [made.fileno()])
                os._exit(0)
            number = socket.recv_fds(near, 1, 1)[1][0]
            os.waitpid(connector, 0)
        else:
            made = socket.socket(socket.AF_UNIX)
            if way == "lent": move()
            made.connect(path)
            if way == "moved": move()
            number = made.fileno()
        print("connected", connector, file=sys.stderr, flush=True)
        signal.sigwait({signal.SIGUSR1})
        os.set_inheritable(number, True)
        os.execv(sys.argv[4], sys.argv[4:] + ["workload", "--descriptor", str(number)])
        """

    /// Becomes the process with the ID that is asked for (clone3 with set_tid), and waits for a signal.
    private static let taker = """
        import ctypes, os, signal, struct, sys
        tids = (ctypes.c_int * 1)(int(sys.argv[1]))
        arguments = struct.pack("<11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(tids), 1, 0)
        buffer = ctypes.create_string_buffer(arguments)
        child = ctypes.CDLL(None, use_errno=True).syscall(435, buffer, len(arguments))
        if child < 0: sys.exit(os.strerror(ctypes.get_errno()))
        if child == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            print("taken", os.getpid(), file=sys.stderr, flush=True)
            signal.sigwait({signal.SIGTERM})
            os._exit(0)
        os.waitpid(child, 0)
        """

    /// Runs a client of pod `a` whose other cgroup is pod `b`'s, and has its answer checked. `meanwhile` gets pod `b` and the ID
    /// of the process that connected.
    ///
    /// While the client connects, and until `meanwhile` has ended, the agent accepts nothing if it is to be held.
    private static func answer(
        _ way: String, holding: Bool = true, isWithinPod: Bool = false, audit: String = "off",
        meanwhile: (RunningPod, Int32) async throws -> Void = { _, _ in },
        check: (WorkloadResponse) throws -> Void
    ) async throws {
        try await SpiffeSocketTests.withSocket(["audit.path": audit]) { world, agent, socket in
            for name in ["first", "second"] { world.addServiceAccount(name) }
            let first = try await world.addPod("a", serviceAccount: "first")
            let second = try await world.addPod("b", serviceAccount: "second")
            for (pod, name) in [(first, "first"), (second, "second")] {
                let own = try await world.workload(pod, "--socket", socket)
                #expect(ids(own) == [LabSigner.id("default", name)], "the control")
            }
            if holding { agent.signal(SIGSTOP) }
            defer { agent.signal(SIGCONT) }
            let sibling = first.cgroup + "/sidecar"
            try FileManager.default.createDirectory(
                atPath: world.node.cgroupDirectory(sibling), withIntermediateDirectories: true)
            let other = world.node.cgroupDirectory(isWithinPod ? sibling : second.containerCgroup)
            let client = try first.start(
                ["python3", "-c", script, way, socket, other, world.binaries + "/podidentd-lab"])
            let line = try await client.errorLines.first(within: .seconds(60)) { $0.hasPrefix("connected ") }
            let connector = try #require(Int32(line.dropFirst("connected ".count)))
            try await meanwhile(second, connector)
            agent.signal(SIGCONT)
            client.signal(SIGUSR1)
            try check(try await world.answer(client))
        }
    }

    /// The SPIFFE IDs of the two pods that an answer gives away.
    private static func ids(_ answer: WorkloadResponse) -> Set<String> {
        let text = answer.messages.compactMap { Data(base64Encoded: $0) }
            .map { String(decoding: $0, as: UTF8.self) }.joined()
        return Set(["first", "second"].map { LabSigner.id("default", $0) }.filter { text.contains($0) })
    }

    @Test("26: a socket that one pod made and another connects is closed unread, and the audit says so")
    func lent() async throws {
        let path = NSTemporaryDirectory() + "audit-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await Self.answer(
            "lent", holding: false, audit: path,
            check: { answer in
                #expect(answer.messages.isEmpty && answer.grpcStatus == nil, "\(answer)")
            })
        let lines = try String(contentsOfFile: path, encoding: .utf8)
        #expect(lines.contains("made outside of the pod that connected it"), "\(lines)")
    }

    @Test("26: a socket that one container of a pod made and another connects is the pod's")
    func lentWithinPod() async throws {
        try await Self.answer(
            "lent", holding: false, isWithinPod: true,
            check: { answer in
                #expect(Self.ids(answer) == [LabSigner.id("default", "first")], "\(answer)")
            })
    }

    @Test("26: a task that is moved after its connect and before the accept is the pod's that it connected in")
    func moved() async throws {
        try await Self.answer(
            "moved",
            check: { answer in
                #expect(Self.ids(answer) == [LabSigner.id("default", "first")], "\(answer)")
            })
    }

    @Test(
        "27: a connector that ended before the accept, and whose process ID another pod has by then, is its own pod's"
    )
    func reused() async throws {
        try await Self.answer("reused") { other, connector in
            let taker = try other.start(["python3", "-c", Self.taker, "\(connector)"])
            try await taker.errorLines.first(within: .seconds(60)) { $0 == "taken \(connector)" }
            let cgroup = try String(contentsOfFile: "/proc/\(connector)/cgroup", encoding: .utf8)
            #expect(cgroup.contains(other.containerID), "the process ID is the other pod's: \(cgroup)")
        } check: { answer in
            #expect(Self.ids(answer) == [LabSigner.id("default", "first")], "\(answer)")
        }
    }

    @Test("29: check tries the program that tells Unix peers apart, and says so; without a socket it says nothing")
    func posture() async throws {
        try await SpiffeSocketTests.withSocket { world, agent, _ in
            let result = try await Command.run([
                "nsenter", "--net=\(world.node.network.path)", "--", world.binaries + "/podidentd", "check", "--config",
                agent.configurationPath,
            ])
            #expect(result.output.contains("both ends of Unix connections are known by their cgroups"))
            // Without the rights to run it nothing is claimed.
            let unable = try await Command.run([
                "nsenter", "--net=\(world.node.network.path)", "--", "setpriv", "--bounding-set=-bpf,-sys_admin",
                "--inh-caps=-bpf,-sys_admin", world.binaries + "/podidentd", "check", "--config",
                agent.configurationPath,
            ])
            #expect(unable.output.contains("could not try whether the kernel tells"), "\(unable.output)")
        }
    }
}
