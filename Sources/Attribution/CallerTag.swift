/// The kernel's note about the caller of one redirected connection, at the moment of its `connect()`.
///
/// The kernel wrote every field; nothing in it came from the caller's bytes.
package struct CallerTag: Sendable, Equatable {
    /// How many levels below the kubepods root the kernel records.
    package static let ancestorCount = 5

    /// The caller's ancestors, root first: element 0 is the cgroup directly below the kubepods root. `0` where the
    /// caller's cgroup is not that deep.
    package var ancestors: InlineArray<5, UInt64>
    /// The cgroup the connecting task was in.
    package var leaf: CgroupID
    /// `SO_NETNS_COOKIE` of the connecting socket.
    package var networkNamespaceCookie: UInt64
    /// `SO_COOKIE` of the connecting socket.
    package var socketCookie: UInt64
    /// The address that the caller named.
    package var originalDestination: OriginalDestination

    package init(
        ancestors: InlineArray<5, UInt64>,
        leaf: CgroupID,
        networkNamespaceCookie: UInt64,
        socketCookie: UInt64,
        originalDestination: OriginalDestination
    ) {
        self.ancestors = ancestors
        self.leaf = leaf
        self.networkNamespaceCookie = networkNamespaceCookie
        self.socketCookie = socketCookie
        self.originalDestination = originalDestination
    }

    package static func == (left: CallerTag, right: CallerTag) -> Bool {
        left.ancestors.indices.allSatisfy { left.ancestors[$0] == right.ancestors[$0] }
            && left.leaf == right.leaf
            && left.networkNamespaceCookie == right.networkNamespaceCookie
            && left.socketCookie == right.socketCookie
            && left.originalDestination == right.originalDestination
    }
}

/// The metadata address that a caller connected to, before the redirect.
package struct OriginalDestination: Sendable, Hashable {
    package var address: IPAddress
    package var port: UInt16

    package init(address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}
