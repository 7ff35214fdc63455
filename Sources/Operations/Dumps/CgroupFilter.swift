/// The rows of a dump that an operator wants to see. Everything that is set must match.
package struct CgroupFilter: Sendable, Equatable {
    package var namespace: String?
    package var pod: String?
    package var uid: String?
    package var cgroupID: UInt64?

    package init(namespace: String? = nil, pod: String? = nil, uid: String? = nil, cgroupID: UInt64? = nil) {
        self.namespace = namespace
        self.pod = pod
        self.uid = uid
        self.cgroupID = cgroupID
    }

    /// Whether it needs names, which only a running agent knows.
    package var needsNames: Bool { namespace != nil || pod != nil }

    package func matches(_ row: CgroupDump.Row) -> Bool {
        matches(namespace: row.namespace, pod: row.pod, uid: row.uid) && (cgroupID.map { $0 == row.cgroupID } ?? true)
    }

    /// Matches rows of dumps that have a pod in each row, but no cgroup.
    package func matches(namespace: String?, pod: String?, uid: String) -> Bool {
        (self.namespace.map { $0 == namespace } ?? true) && (self.pod.map { $0 == pod } ?? true)
            && (self.uid.map { $0 == uid } ?? true)
    }
}

extension CgroupDump {
    package func filtered(by filter: CgroupFilter) -> CgroupDump {
        var dump = self
        dump.rows = rows.filter(filter.matches)
        return dump
    }
}
