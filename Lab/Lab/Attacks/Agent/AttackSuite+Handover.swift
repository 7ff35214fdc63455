import Foundation

/// H1: the hand-over socket, reached by root in a container that has the run directory and not the BPF file system.
extension AttackSuite {
    var handover: [Attack] {
        [
            Attack(
                "H1", .ordinary, "hand-over socket, root without the pin directory", .text("0 listeners"),
                control: { try await askForListeners(withProof: true) != "0 listeners\n" },
                run: { try await askForListeners(withProof: false) }
            )
        ]
    }

    /// Says what a successor says first, with the lock file of the agent's pin directory or of another BPF file system.
    private func askForListeners(withProof isProven: Bool) async throws -> String {
        let script = """
            import os, socket, struct, sys, tempfile
            place = sys.argv[2]
            if not place:
                place = tempfile.mkdtemp()
                if os.system("mount -t bpf bpf " + place): sys.exit("mount")
                os.symlink("podidentd", place + "/lock")
            proof = os.open(place + "/lock", os.O_PATH | os.O_NOFOLLOW)
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(sys.argv[1])
            hello = b"nidh" + struct.pack(">BBHII", 1, 1, 0, 0, 1)
            socket.send_fds(peer, [hello], [proof])
            try: descriptors = socket.recv_fds(peer, 16, 8)[1]
            except OSError: descriptors = []
            print(len(descriptors), "listeners")
            """
        let socket = world.node.directory + "/handover.sock"
        let place = isProven ? world.pinDirectory : ""
        let result = try await Command.run(["unshare", "--mount", "python3", "-c", script, socket, place])
        return try AttackStage.output(of: result)
    }
}
