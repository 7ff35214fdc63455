package import Attribution
import CBPFPrograms

/// Parameters of the kernel programs. Constant for the life of the loaded programs, but for what
/// ``Datapath/setKubepods(_:)`` and ``Datapath/setNode(_:agentCgroup:processNamespace:)`` tell them.
package struct DatapathConfiguration: Sendable {
    package var pinDirectory: PinDirectory
    /// The addresses whose port 80 is redirected and whose other ports are refused, but for DNS and NTP.
    package var endpoints: [IPAddress]
    /// Further TCP ports of ``endpoints`` that are redirected.
    package var furtherPorts: [UInt16] = []
    /// Endpoints that are refused altogether. At most 64 of all kinds.
    package var protectedEndpoints: [ProtectedEndpoint]
    /// Whether an installation without ``HostGuard`` is one.
    package var requiresHostGuard: Bool
    /// `nil`: by BPF where the kernel has it, else by nftables.
    package var hostGuardMechanism: HostGuard.Mechanism?
    /// The ports that the agent may listen at in pods' network namespaces, in host order. A connection that begins
    /// before there is a listener is redirected to the last.
    package var listenPorts: ClosedRange<UInt16>

    package init(
        pinDirectory: PinDirectory,
        endpoints: [IPAddress],
        protectedEndpoints: [ProtectedEndpoint] = [],
        requiresHostGuard: Bool = false,
        hostGuardMechanism: HostGuard.Mechanism? = nil,
        listenPorts: ClosedRange<UInt16>
    ) {
        self.pinDirectory = pinDirectory
        self.endpoints = endpoints
        self.protectedEndpoints = protectedEndpoints
        self.requiresHostGuard = requiresHostGuard
        self.hostGuardMechanism = hostGuardMechanism
        self.listenPorts = listenPorts
    }
}

/// The kubepods cgroup as the programs compare it.
package struct KubepodsCgroup: Sendable, Equatable {
    package var id: CgroupID
    /// The kernel's: see ``CgroupFileSystem/locate(_:)``.
    package var level: Int
    /// The cgroups below it that hold pods and are none, in the order of ``KubepodsRoot/qosClassPaths``: the two QoS
    /// classes, the partition `system`, and its two; `nil` where there is none.
    package var qosClasses: [CgroupID?]
    /// The kubepods trees of others, whose processes reach no protected address. At most ``othersMax`` count.
    package var others: [OtherTree]

    /// How many trees of others the programs can know.
    package static var othersMax: Int { Int(NID_OTHER_TREES) }

    /// The kubepods cgroup of another kubelet, or of this one before its cgroup driver was changed.
    package struct OtherTree: Sendable, Hashable {
        package var id: CgroupID
        /// The kernel's.
        package var level: Int

        package init(id: CgroupID, level: Int) {
            self.id = id
            self.level = level
        }
    }

    package init(id: CgroupID, level: Int, qosClasses: [CgroupID?] = [], others: [OtherTree] = []) {
        self.id = id
        self.level = level
        self.qosClasses = qosClasses
        self.others = others
    }
}
