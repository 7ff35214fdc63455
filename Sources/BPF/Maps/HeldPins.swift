import CLibbpf
import Glibc
import Synchronization

/// Everything that is pinned, held by descriptors as well.
///
/// A pin lives as long as its file system. Should an operator unmount that under a running agent, the descriptors keep
/// the programs attached and the maps as they are. ``check()`` pins them again as soon as there is a BPF file system at
/// the same path. Pins that were removed one by one are left alone: that is how ``PinDirectory/remove()`` uninstalls.
package final class HeldPins: Sendable {
    /// The pins' change since the last look.
    package enum State: Sendable, Equatable {
        case inPlace
        /// The file system is there, some pins are not: another process removed them.
        case removed
        /// There is no BPF file system at the path any more.
        case unmounted
        /// The agent pinned the missing ones again, in another file system than before.
        case restored
    }

    private final class Pin: Sendable {
        let path: String
        let descriptor: FileDescriptor

        init(_ path: String) throws(BPFError) {
            self.path = path
            descriptor = unsafe try FileDescriptor(owning: bpf_obj_get(path), "open what is pinned at \(path)")
        }

        var isInPlace: Bool { unsafe access(path, F_OK) == 0 }

        /// Whether another link is pinned at the path, or none.
        var isReplaced: Bool {
            let found = unsafe bpf_obj_get(path)
            guard found >= 0 else { return true }
            defer { close(found) }
            return Self.linkID(found) != Self.linkID(descriptor.rawValue)
        }

        private static func linkID(_ descriptor: CInt) -> UInt32? {
            var info = bpf_link_info()
            var length = UInt32(MemoryLayout<bpf_link_info>.size)
            return unsafe bpf_obj_get_info_by_fd(descriptor, &info, &length) == 0 ? info.id : nil
        }
    }

    private let directory: PinDirectory
    private let pins: [Pin]
    private let fileSystem: Mutex<FileSystemIdentity?>

    /// Holds what is pinned in `directory` at this moment. Call it when everything is attached.
    package init(_ directory: PinDirectory) throws(BPFError) {
        self.directory = directory
        var pins: [Pin] = []
        // Pins of interfaces and of kubepods cgroups come and go with them: ``UplinkGuard`` and ``Datapath`` look after
        // their own.
        let coming = ["/" + UplinkGuard.pinPrefix, "/" + Datapath.guardPin]
        for path in directory.pins where !coming.contains(where: path.contains) { pins.append(try Pin(path)) }
        self.pins = pins
        fileSystem = Mutex(directory.fileSystem)
    }

    /// Pins the links again that another process, such as a successor, has replaced with its own, which end with that.
    ///
    /// Needed where a link cannot change its program: the guard in netfilter.
    package func putBack() throws(BPFError) {
        for pin in pins where pin.path.hasPrefix(directory.links + "/") && pin.isReplaced {
            try BPF.pin(pin.descriptor.rawValue, inPlaceOf: pin.path)
        }
    }

    /// Looks after the pins: some twenty system calls.
    ///
    /// - Returns: What was found, or done.
    /// - Throws: Why they could not be pinned again.
    package func check() throws(BPFError) -> State {
        if pins.allSatisfy(\.isInPlace) { return .inPlace }
        let found = directory.fileSystem
        let isTheSame = fileSystem.withLock { fileSystem in
            // The file system's numbers may be used again once it is gone.
            if found == nil { fileSystem = nil }
            return fileSystem == found
        }
        guard let found else { return .unmounted }
        guard !isTheSame else { return .removed }
        try directory.prepare()
        for pin in pins where !pin.isInPlace {
            try BPF.check(unsafe bpf_obj_pin(pin.descriptor.rawValue, pin.path), "pin again at \(pin.path)")
        }
        fileSystem.withLock { $0 = found }
        return .restored
    }
}

/// One mounted file system, among all that were ever mounted at the same path.
struct FileSystemIdentity: Sendable, Equatable {
    var device: dev_t
    var root: ino_t
}

extension PinDirectory {
    /// The BPF file system that the directory lies on, or would lie on; `nil`: none.
    var fileSystem: FileSystemIdentity? {
        guard isOnBPFFileSystem else { return nil }
        var identity: FileSystemIdentity?
        var place = path
        // From the directory up to where it is mounted, which is the last place with its device number.
        while !place.isEmpty, let slash = place.lastIndex(of: "/") {
            var status = stat()
            if unsafe stat(place, &status) == 0 {
                if let identity, identity.device != status.st_dev { break }
                identity = FileSystemIdentity(device: status.st_dev, root: status.st_ino)
            }
            place = String(place[..<slash])
        }
        return identity
    }
}
