import Lab

/// The files of the container image, with the program under test. Containers have them as a layer that they cannot write to.
enum ImageContent {
    /// The directory that holds them, laid out once a process: to strip the programs and to find the packages takes seconds.
    static let directory = Task {
        let binaries = try Binaries.directory()
        let root = binaries + "/image-content"
        try await Command.require(["bash", "deploy/image/rootfs", binaries + "/podidentd", root])
        return root
    }
}
