#if canImport(Glibc)
    package import Glibc
#elseif canImport(Musl)
    package import Musl
#endif

/// Starts a program with the descriptors that it is given.
package struct SpawnRequest: Sendable {
    /// Looked for in `PATH` if it has no slash.
    package var path: String
    /// The program's own name first.
    package var arguments: [String]
    /// `NAME=value`; `nil`: this process's.
    package var environment: [String]?
    /// Pairs of a descriptor of this process, and the number that it has in the program. All others must close
    /// themselves at exec.
    package var descriptors: [(own: CInt, inProgram: CInt)]

    package init(
        path: String, arguments: [String], environment: [String]? = nil, descriptors: [(own: CInt, inProgram: CInt)]
    ) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
        self.descriptors = descriptors
    }

    /// Starts the program, which the caller must wait for.
    package func start() throws(SystemError) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for (own, inProgram) in descriptors {
            unsafe posix_spawn_file_actions_adddup2(&actions, own, inProgram)
        }
        let words = unsafe arguments.map { unsafe strdup($0) }
        let settings = unsafe (environment ?? []).map { unsafe strdup($0) }
        defer { unsafe (words + settings).forEach { unsafe free($0) } }
        var child = pid_t()
        let result =
            if environment == nil {
                unsafe posix_spawnp(&child, path, &actions, nil, words + [nil], environ)
            } else {
                unsafe posix_spawnp(&child, path, &actions, nil, words + [nil], settings + [nil])
            }
        guard result == 0 else { throw SystemError(number: result) }
        return child
    }
}
