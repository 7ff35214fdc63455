import Attribution
import BPF
import Enforcement
import Logging
import Settings

/// The parts that reach the kernel: the hierarchy of cgroups, the pins and their lock, the hooks.
struct KernelParts: Sendable {
    let cgroups: CgroupFileSystem
    let root: KubepodsRoot
    let pins: PinDirectory
    let datapath = AttachedDatapath()
    let start: KernelStart
    let lock: PinLock

    /// Attaches nothing yet.
    init(_ configuration: AgentConfiguration, logger: Logger) throws {
        cgroups = try CgroupFiles.open(mountPoint: configuration.cgroupMountPoint)
        let (root, kubepods) = try KubepodsSearch.find(configuration, in: cgroups)
        self.root = root
        pins = PinDirectory(path: configuration.pinDirectory)
        start = KernelStart(
            configuration, kubepods: kubepods, root: root, cgroups: cgroups, datapath: datapath, logger: logger)
        lock = try PinLock(pins)
    }
}
