/// An error in the configuration that attribution depends on.
package enum AttributionError: Error, Equatable {
    /// A path that cannot be the kubelet's `kubepods` cgroup.
    case invalidKubepodsRoot(path: [UInt8], reason: KubepodsRootDefect)
}

/// Why a path cannot be the kubelet's `kubepods` cgroup.
package enum KubepodsRootDefect: Sendable, Equatable {
    case notAbsolute
    /// An empty, `.` or `..` component, a trailing slash, or a NUL byte.
    case notCanonical
    /// The path is longer than `KubepodsRoot.maximumPathLength` bytes.
    case tooLong
    /// The last component is neither `kubepods` nor `kubepods.slice` nor `PREFIX-kubepods.slice`.
    case notKubepods
    /// A systemd slice that does not lie in the slices its name spells out; this would be the path's end if it did.
    case outsideParentSlices(expected: [UInt8])
}

extension AttributionError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .invalidKubepodsRoot(let path, let reason):
            "kubepods cgroup root \(String(decoding: path, as: UTF8.self).debugDescription) \(reason)"
        }
    }
}

extension KubepodsRootDefect: CustomStringConvertible {
    package var description: String {
        switch self {
        case .notAbsolute:
            "does not begin with '/': give the path below the cgroup v2 mount, such as /kubepods.slice"
        case .notCanonical:
            "has an empty, '.' or '..' component, a trailing slash or a NUL byte: write it as the kernel does"
        case .tooLong:
            "is longer than \(KubepodsRoot.maximumPathLength) bytes"
        case .notKubepods:
            "does not end in kubepods (cgroupfs driver), kubepods.slice or PREFIX-kubepods.slice (systemd driver)"
        case .outsideParentSlices(let expected):
            "is a slice outside its parents: systemd would place it at …\(String(decoding: expected, as: UTF8.self))"
        }
    }
}
