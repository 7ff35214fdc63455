import CBPFPrograms
import CLibbpf
import Glibc

/// The directory of the BPF file system where the links and maps outlive the agent.
///
/// ```text
/// <path>/links/connect4 ...        the attachments: what fails closed while the agent is away
/// <path>/maps-v3/nid_notes ...     the maps, below the ABI version that wrote them
/// <path>/lock                      what agents prove with that they see the directory
/// ```
package struct PinDirectory: Sendable, Equatable {
    package let path: String

    /// Agents of the same version share the maps, and with them every tag.
    package static var abiVersion: UInt16 { UInt16(NID_ABI_VERSION) }

    private static let bpfFileSystemMagic = 0xcafe_4a11

    package init(path: String) {
        self.path = path
    }

    var links: String { path + "/links" }
    /// The file of ``PinLock/openProof()``.
    var lockFile: String { path + "/lock" }
    var maps: String { path + "/maps-v\(NID_ABI_VERSION)" }

    /// Whether an agent's attachments are pinned here.
    package var hasLinks: Bool { !entries(of: links).isEmpty }

    /// Whether the directory, or where it would be made, lies on a BPF file system.
    package var isOnBPFFileSystem: Bool {
        var parent = path
        while let slash = parent.lastIndex(of: "/"), unsafe access(parent, F_OK) != 0 {
            parent = String(parent[..<slash])
        }
        var info = statfs()
        return unsafe statfs(parent.isEmpty ? "/" : parent, &info) == 0 && info.f_type == Self.bpfFileSystemMagic
    }

    /// Makes the directories, after checking that they lie on a BPF file system.
    func prepare() throws(BPFError) {
        guard isOnBPFFileSystem else {
            throw BPFError(
                "pin the links and maps below \(path)",
                hint: "it is not on a BPF file system; 'mount -t bpf bpf /sys/fs/bpf' or set bpf.pin-directory"
            )
        }
        for directory in [path, links, maps] where unsafe mkdir(directory, 0o700) != 0 && errno != EEXIST {
            throw BPFError("make the directory \(directory)", errorNumber: errno)
        }
        guard unsafe symlink("podidentd", lockFile) == 0 || errno == EEXIST else {
            throw BPFError("make \(lockFile)", errorNumber: errno)
        }
    }

    /// The path of every pin, links first.
    var pins: [String] {
        [links, maps].flatMap { directory in entries(of: directory).sorted().map { "\(directory)/\($0)" } }
    }

    /// Removes every pin, detaches the hooks, and returns the paths of the pins, links first.
    package func remove() throws(BPFError) -> [String] {
        var removed: [String] = []
        try remove { removed.append($0) }
        return removed
    }

    /// Removes every pin: without a pin and without an agent the kernel detaches the programs.
    ///
    /// - Parameters:
    ///   - detaches: Whether the hooks end before this returns. Otherwise those that a running agent holds end with it.
    ///   - report: Gets the path of each pin that was removed, links first.
    /// - Throws: The first pin that cannot be removed, after all others were.
    package func remove(detaches: Bool = true, report: (String) -> Void) throws(BPFError) {
        var firstError: BPFError?
        for directory in entries(of: path).sorted() where directory == "links" || directory.hasPrefix("maps-v") {
            let directory = path + "/" + directory
            for name in entries(of: directory).sorted() {
                let pin = directory + "/" + name
                if detaches { Self.detach(pin) }
                if unsafe unlink(pin) == 0 {
                    report(pin)
                } else if errno != ENOENT, firstError == nil {
                    firstError = BPFError("remove the pin \(pin)", errorNumber: errno)
                }
            }
            unsafe rmdir(directory)
        }
        // Not reported: it is neither an attachment nor a map.
        unsafe unlink(lockFile)
        unsafe rmdir(path)
        if let firstError { throw firstError }
    }

    /// Detaches the program of a pinned link at once. The kernel ends a link that merely loses its pin some grace period
    /// later (`bpf_link_put` in kernel/bpf/syscall.c), and until then it refuses what others do next.
    ///
    /// Does nothing for a map, and for links of tracepoints, which cannot be detached so.
    private static func detach(_ pin: String) {
        guard let link = unsafe bpf_link__open(pin) else { return }
        unsafe bpf_link__detach(link)
        unsafe bpf_link__destroy(link)
    }

    func entries(of directory: String) -> [String] {
        guard let stream = unsafe opendir(directory) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }
}
