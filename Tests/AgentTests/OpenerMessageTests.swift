import BPF
import Glibc
import Testing

@testable import Enforcement
@testable import Settings

/// Tests what the agent and `podidentd-opener` say to each other, byte by byte.
@Suite struct OpenerMessageTests {
    static let namespace = NetworkNamespaceID(cookie: 0x0102_0304_0506_0708, inode: 0x1112_1314)

    /// A number in the machine's own order, as both ends write it.
    static func host(_ value: some FixedWidthInteger) -> [UInt8] {
        unsafe withUnsafeBytes(of: value) { unsafe [UInt8]($0) }
    }

    static func answer(
        error: Int32 = 0, port: UInt16 = 988, families: UInt8 = 3, step: UInt8 = 0, cookie: UInt64? = nil
    ) -> [UInt8] {
        let parts: [[UInt8]] = [host(error), host(port), [families, step], host(cookie ?? namespace.cookie)]
        return Array(parts.joined())
    }

    static func greeting(version: UInt32 = 1, way: UInt32 = 1) -> [UInt8] {
        host(version) + host(way)
    }

    @Test func `a request is twenty-four bytes: the namespace, a process in it, the ports, the families`() {
        let request = OpenerRequest(
            namespace: Self.namespace, process: 0x2122_2324, ports: ListenerPorts(first: 988, count: 3), families: .ipv6
        )
        let parts: [[UInt8]] = [
            Self.host(Self.namespace.cookie), Self.host(Self.namespace.inode), Self.host(request.process),
            Self.host(request.ports.first), [3, 2, 0, 0, 0, 0],
        ]
        #expect(request.bytes == Array(parts.joined()))
        #expect(request.bytes.count == OpenerRequest.length)
    }

    @Test func `an answer tells sockets, or the step that failed`() {
        let opened = OpenerResponse(parsing: Self.answer(families: 1))
        #expect(opened == OpenerResponse(port: 988, families: .ipv4, cookie: Self.namespace.cookie))
        let failed = OpenerResponse(parsing: Self.answer(error: EADDRINUSE, port: 0, families: 0, step: 4))
        #expect(
            failed
                == OpenerResponse(
                    error: EADDRINUSE, port: 0, families: [], step: .listen, cookie: Self.namespace.cookie))
    }

    @Test func `an answer that is cut or too long, or means sockets and an error, or neither, is none`() {
        let wrong: [[UInt8]] = [
            [], Array(Self.answer().dropLast()), Self.answer() + [0],
            Self.answer(families: 4), Self.answer(families: 7), Self.answer(step: 5),
            // Neither sockets nor an error.
            Self.answer(families: 0), Self.answer(families: 0, step: 4),
            // Both.
            Self.answer(error: ENOENT, families: 1, step: 1), Self.answer(step: 4),
            // An error of no step.
            Self.answer(error: ENOENT, families: 0, step: 0),
        ]
        for bytes in wrong { #expect(OpenerResponse(parsing: bytes) == nil, "\(bytes)") }
    }

    @Test func `a greeting names a way that the agent knows, in the version that it speaks`() {
        #expect(OpenerGreeting(parsing: Self.greeting(way: 1))?.way == .handle)
        #expect(OpenerGreeting(parsing: Self.greeting(way: 2))?.way == .process)
        let wrong: [[UInt8]] = [
            [], Array(Self.greeting().dropLast()), Self.greeting() + [0], Self.greeting(version: 0),
            Self.greeting(version: 2), Self.greeting(way: 0), Self.greeting(way: 3),
        ]
        for bytes in wrong { #expect(OpenerGreeting(parsing: bytes) == nil, "\(bytes)") }
    }

    @Test func `a failure says what failed; a namespace that is gone is no fault`() {
        let failures: [(error: Int32, step: OpenerResponse.Step, isGone: Bool, words: String)] = [
            (ESTALE, .find, true, "the network namespace cannot be opened: "),
            (ENOENT, .find, true, "the network namespace cannot be opened: "),
            (ESRCH, .find, true, "the network namespace cannot be opened: "),
            (EACCES, .find, false, "the network namespace cannot be opened: "),
            (ESTALE, .compare, true, "the network namespace is another by now"),
            (ENOENT, .enter, false, "the network namespace cannot be entered: "),
            (EADDRINUSE, .listen, false, "every port of the agent is taken in the network namespace"),
            (EMFILE, .listen, false, "the network namespace takes no listening socket: "),
        ]
        for (error, step, isGone, words) in failures {
            let failure = OpenerFailure(error: error, step: step)
            #expect(failure.isGone == isGone && failure.description.hasPrefix(words), "\(failure)")
        }
    }
}

/// The agent's end of the opener's socket, with a shell script in the opener's place.
@Suite(.timeLimit(.minutes(10))) struct OpenerEndTests {
    private static let request = OpenerRequest(
        namespace: OpenerMessageTests.namespace, process: 0, ports: ListenerPorts(first: 988, count: 2))

    /// The shell's words that send one message.
    private static func say(_ bytes: [UInt8]) -> String {
        let digits = bytes.map { byte in "\\" + [6, 3, 0].map { String(byte >> $0 & 7) }.joined() }
        return bytes.isEmpty ? "" : "printf '\(digits.joined())' >&3; "
    }

    /// Starts what greets, gives one answer, and ends with the agent's end of the socket. Waits for that end: an exit test does not
    /// see the end of its process while another child of this one is a zombie.
    private static func use(_ answer: [UInt8], _ body: (Opener) -> Void) throws {
        let words = say(OpenerMessageTests.greeting()) + say(answer) + "exec /bin/cat <&3 >/dev/null"
        var opener: Opener? = try Opener(executable: "/bin/sh", arguments: ["-c", words])
        let child = try #require(opener?.processID)
        if let opener { body(opener) }
        opener = nil
        #expect(waitpid(child, nil, 0) == child)
    }

    @Test func `an opener that cannot be started, or says something else first, is none`() throws {
        let missing = #expect(throws: OpenerError.self) { try Opener(executable: "/nowhere/podidentd-opener") }
        #expect(missing?.description == "cannot start /nowhere/podidentd-opener: No such file or directory")
        for words in [Self.say(OpenerMessageTests.greeting(version: 2)) + "exec /bin/sleep 600", "exit 0"] {
            // The process tells its number.
            var ends: [CInt] = [-1, -1]
            try #require(unsafe pipe(&ends) == 0)
            defer { close(ends[0]) }
            let stranger = #expect(throws: OpenerError.self) {
                defer { close(ends[1]) }
                return try Opener(
                    executable: "/bin/sh", arguments: ["-c", "echo $$ > /proc/\(getpid())/fd/\(ends[1]); " + words])
            }
            #expect(stranger?.description.contains("ended before it was ready") == true)
            var text = [UInt8](repeating: 0, count: 16)
            let length = unsafe read(ends[0], &text, text.count)
            let told = String(decoding: text.prefix(max(length, 0)), as: UTF8.self)
            let child = try #require(pid_t(told.prefix { $0 != "\n" }))
            // Neither the process nor a zombie of it is left.
            #expect(kill(child, 0) == -1 && errno == ESRCH)
        }
    }

    @Test func `a step that failed in one namespace is that namespace's alone`() throws {
        try Self.use(OpenerMessageTests.answer(error: ENOENT, port: 0, families: 0, step: 1)) { opener in
            #expect(opener.way == .handle)
            #expect(throws: OpenerFailure(error: ENOENT, step: .find)) { try opener.open(Self.request) }
        }
    }

    @Test func `an answer for another namespace, or without its sockets, ends it all`() throws {
        for answer in [
            OpenerMessageTests.answer(error: ENOENT, port: 0, families: 0, step: 1, cookie: 1),
            OpenerMessageTests.answer(), OpenerMessageTests.answer(families: 1), [1, 2, 3],
        ] {
            try Self.use(answer) { opener in
                let error = #expect(throws: OpenerError.self) { try opener.open(Self.request) }
                #expect(error?.description == "podidentd-opener answered out of turn", "\(answer)")
                // The process still reads, and is asked nothing more.
                #expect(!opener.isRunning && !opener.isIdle)
                #expect(throws: OpenerError.self) { try opener.open(Self.request) }
            }
        }
    }

    @Test func `an opener that has ended opens nothing more`() throws {
        let opener = try Opener(executable: "/bin/sh", arguments: ["-c", Self.say(OpenerMessageTests.greeting())])
        var status: CInt = 0
        #expect(unsafe waitpid(opener.processID, &status, 0) == opener.processID)
        #expect(!opener.isRunning && !opener.isIdle)
        let error = #expect(throws: OpenerError.self) { try opener.open(Self.request) }
        #expect(error?.description == "podidentd-opener has ended, or takes too long")
    }
}
