import CHardeningTestShims
import Glibc
import Hardening
import Testing

/// In processes of their own: a filter is for good.
@Suite(.timeLimit(.minutes(10))) struct SystemCallFilterTests {
    @Test("while it starts, the agent may use BPF and sockets, but make no namespaces, mounts or traces")
    func starting() async {
        await #expect(processExitsWith: .success) {
            try ProcessRights.reduce()
            try SystemCallFilter.starting.install()
            expect(test_call(TEST_GETPID, 0, 0, 0), 0)
            expect(test_call(TEST_SOCKET, Int(AF_INET), Int(SOCK_STREAM.rawValue), 0), 0)
            expect(test_call(TEST_SOCKET, Int(AF_NETLINK), Int(SOCK_RAW.rawValue), 0), 0)
            // BPF_PROG_LOAD of nothing: the kernel has looked at it. Before Linux 6.2 at the missing licence first.
            expect(test_call(TEST_BPF, 5, 0, 0), E2BIG, EFAULT)
            expect(test_call(TEST_SOCKET, Int(AF_PACKET), Int(SOCK_RAW.rawValue), 0), EPERM)
            for call in [TEST_MOUNT, TEST_PTRACE, TEST_SETNS, TEST_UNSHARE, TEST_IO_URING_SETUP] {
                expect(test_call(call, 0, 0, 0), EPERM)
            }
            // CLONE_NEWUSER, and a terminal's TIOCSTI.
            expect(test_call(TEST_CLONE, 0x1000_0000, 0, 0), EPERM)
            expect(test_call(TEST_IOCTL, 0, 0x5412, 0), EPERM)
        }
    }

    @Test("a call that is newer than the list, and clone3, fail as on an older kernel")
    func newCalls() async {
        await #expect(processExitsWith: .success) {
            try ProcessRights.reduce()
            try SystemCallFilter.starting.install()
            expect(test_call(TEST_FUTURE, 0, 0, 0), ENOSYS)
            expect(test_call(TEST_CLONE3, 0, 0, 0), ENOSYS)
        }
    }

    @Test("while it serves, the agent uses the maps that are there, attaches what it holds, and loads nothing")
    func serving() async {
        await #expect(processExitsWith: .success) {
            try ProcessRights.reduce()
            try SystemCallFilter.starting.install()
            try SystemCallFilter.serving.install()
            // Map look-up, update and deletion, and information, without arguments.
            for command in [1, 2, 3, 15] { expect(test_call(TEST_BPF, command, 0, 0), EFAULT, EINVAL) }
            // A run of a program that was loaded before: a cgroup's level.
            expect(test_call(TEST_BPF, 10, 0, 0), EFAULT, EINVAL, EBADF)
            // A link of a program that was loaded before, to an interface that is new.
            expect(test_call(TEST_BPF, 28, 0, 0), EFAULT, EINVAL, EBADF)
            // A link that a failed successor has changed, back to a program that was loaded before; a walk over the tasks.
            for command in [29, 33] { expect(test_call(TEST_BPF, command, 0, 0), EFAULT, EINVAL, EBADF) }
            // Map creation, program load, attach, detach, look-ups that delete or read many, link detach, tokens.
            for command in [0, 5, 8, 9, 21, 24, 34, 36] { expect(test_call(TEST_BPF, command, 0, 0), EPERM) }
            expect(test_call(TEST_SOCKET, Int(AF_NETLINK), Int(SOCK_RAW.rawValue), 0), EPERM)
            expect(test_call(TEST_SOCKET, Int(AF_INET6), Int(SOCK_STREAM.rawValue), 0), 0)
            expect(test_call(TEST_MOUNT, 0, 0, 0), EPERM)
        }
    }

    @Test("a thread that ran before is filtered, too")
    func threads() async {
        await #expect(processExitsWith: .success) {
            try ProcessRights.reduce()
            let (ready, go) = (pipe(), pipe())
            let thread = start {
                ready.write()
                go.read()
                return test_call(TEST_UNSHARE, 0, 0, 0)
            }
            ready.read()
            try SystemCallFilter.starting.install()
            go.write()
            expect(thread.join(), EPERM)
        }
    }

    @Test("names resolve, and programs run, below both filters")
    func libraries() async {
        await #expect(processExitsWith: .success) {
            try ProcessRights.reduce()
            try SystemCallFilter.starting.install()
            try SystemCallFilter.serving.install()
            var addresses: UnsafeMutablePointer<addrinfo>?
            expect(unsafe getaddrinfo("localhost", "80", nil, &addresses), 0)
            // A shell, a pipe and a second program; and none of them may mount.
            expect(unsafe system("echo one | grep -q one && ! unshare --mount true 2> /dev/null"), 0)
        }
    }
}

/// The filter of `podidentd-opener`, in processes of their own.
@Suite(.timeLimit(.minutes(10))) struct OpenerFilterTests {
    @Test("the opener's calls are allowed, in either way of finding a namespace")
    func allowed() async {
        await #expect(processExitsWith: .success) {
            test_opener_call(0, TEST_SOCKET, Int(AF_INET), Int(SOCK_STREAM.rawValue), 0)
        }
        await #expect(processExitsWith: .success) {
            test_opener_call(0, TEST_SOCKET, Int(AF_INET6), Int(SOCK_STREAM.rawValue), 0)
        }
        await #expect(processExitsWith: .success) { test_opener_call(0, TEST_BIND, -1, 0, EBADF) }
        // AT_FDCWD: kernels look at the directory and at the handle in either order.
        await #expect(processExitsWith: .success) { test_opener_call(0, TEST_OPEN_BY_HANDLE_AT, -100, 0, EFAULT) }
        // CLONE_NEWNET.
        await #expect(processExitsWith: .success) { test_opener_call(0, TEST_SETNS, -1, 0x4000_0000, EBADF) }
        await #expect(processExitsWith: .success) { test_opener_call(1, TEST_OPENAT, -1, 0, EFAULT) }
    }

    @Test("any other kills it: files and handles where the other way finds namespaces, other sockets and namespaces")
    func killed() async {
        await #expect(processExitsWith: .signal(SIGSYS)) { test_opener_call(0, TEST_OPENAT, -1, 0, EFAULT) }
        await #expect(processExitsWith: .signal(SIGSYS)) { test_opener_call(1, TEST_OPEN_BY_HANDLE_AT, -1, 0, EFAULT) }
        await #expect(processExitsWith: .signal(SIGSYS)) {
            test_opener_call(0, TEST_SOCKET, Int(AF_PACKET), Int(SOCK_RAW.rawValue), 0)
        }
        // CLONE_NEWNS.
        await #expect(processExitsWith: .signal(SIGSYS)) { test_opener_call(0, TEST_SETNS, -1, 0x0002_0000, EBADF) }
        await #expect(processExitsWith: .signal(SIGSYS)) { test_opener_call(0, TEST_MOUNT, 0, 0, EFAULT) }
        await #expect(processExitsWith: .signal(SIGSYS)) { test_opener_call(0, TEST_GETPID, 0, 0, 0) }
    }

    @Test("of all numbers, also those that no kernel has yet, the opener's thirteen are let through, in either way")
    func everyNumber() async {
        await #expect(processExitsWith: .success) {
            let always = [
                TEST_RECVMSG, TEST_SENDMSG, TEST_CLOSE, TEST_BIND, TEST_LISTEN, TEST_SETSOCKOPT, TEST_GETSOCKOPT,
                TEST_FSTAT, TEST_NEWFSTATAT, TEST_EXIT_GROUP, TEST_SOCKET, TEST_SETNS,
            ]
            // uretprobe and uprobe of x86-64: the kernel lets them past every filter, and they do nothing outside of its own
            // trampolines.
            let unfiltered = 335...336
            for (byProcess, finder) in [(CInt(0), TEST_OPEN_BY_HANDLE_AT), (CInt(1), TEST_OPENAT)] {
                var allowed: [Int] = []
                for number in 0..<512 where !unfiltered.contains(number) {
                    let outcome = test_opener_allows(byProcess, number)
                    require(outcome >= 0, "\(number) ended in another way")
                    if outcome == 1 { allowed.append(number) }
                }
                require(allowed == (always + [finder]).map { Int($0.rawValue) }.sorted(), "\(allowed)")
            }
        }
    }
}
