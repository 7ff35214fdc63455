package import BPF
import Settings

/// The host's cgroup v2 hierarchy, as configured or as found.
package enum CgroupFiles {
    package static func open(mountPoint: String?) throws -> CgroupFileSystem {
        if let mountPoint { return try CgroupFileSystem(mountPoint: mountPoint) }
        guard let mountPoint = try CgroupFileSystem.findMountPoint() else {
            throw ConfigurationError(
                "no cgroup v2 hierarchy is mounted here; mount one, or set cgroup.mount-point to where the host's is"
            )
        }
        return try CgroupFileSystem(mountPoint: mountPoint)
    }
}
