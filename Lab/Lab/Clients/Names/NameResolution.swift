/// How a pod of the lab learns the address behind the metadata server's names: the options of `deploy/dns`.
package enum NameResolution: String, Sendable, Hashable, CaseIterable {
    /// A name server answers what `corefile.snippet` says: the lab's own, because no CoreDNS is to be had where the
    /// tests run.
    case corefile
    /// A real dnsmasq answers, with `dnsmasq.conf`.
    case dnsmasq
    /// A real unbound answers, with `unbound.conf`.
    case unbound
    /// Entries in `/etc/hosts` answer, as `workload/host-aliases` and `components/dns-hosts-policy` make them.
    case hosts
    /// The name does not resolve: the name server answers NXDOMAIN, as on a machine that is not Google's.
    case none

    package static let metadataName = Spelling.name.rawValue
    /// The name that a pod's search list makes of that name, and a Service `google` in the namespace `internal` claims.
    package static let claimedName = "\(metadataName).svc.cluster.local"

    /// Whether the pod's name server knows the names.
    package var isNameServer: Bool { self != .hosts && self != .none }

    /// Whether a client that writes the metadata server like this finds it.
    package func resolves(_ spelling: Spelling) -> Bool {
        switch spelling {
        case .address: true
        case .short, .name: self != .none
        // No hosts file holds a name with its final dot: Kubernetes refuses such an entry.
        case .absolute: isNameServer
        }
    }

    /// The files that a pod of `namespace` sees in `/etc`, by path: the search list is the one that a kubelet writes.
    package func files(namespace: String) -> [String: String] {
        let entry =
            self == .hosts ? "\(LabNode.metadataAddress) \(Self.metadataName) \(Spelling.short.rawValue)\n" : ""
        let search = ["\(namespace).svc.cluster.local", "svc.cluster.local", "cluster.local"]
        return [
            "/etc/hosts": "127.0.0.1 localhost\n" + entry,
            "/etc/resolv.conf":
                "search \(search.joined(separator: " "))\nnameserver \(LabNode.address)\noptions ndots:5\n",
            "/etc/nsswitch.conf": "hosts: files dns\n",
        ]
    }
}

/// A C library, which decides how a search list is gone through.
package enum CLibrary: String, Sendable, CaseIterable {
    case glibc
    /// The C library of Alpine's images.
    case musl

    /// The look-up of each spelling; glibc's asks for the IPv6 record, too.
    var lookup: RealClient.Program {
        switch self {
        case .glibc: .python("names.py")
        case .musl: .compiled("names-musl")
        }
    }
}

/// How a client writes the metadata server.
package enum Spelling: String, Sendable, Hashable, CaseIterable {
    case address = "169.254.169.254"
    case short = "metadata"
    case name = "metadata.google.internal"
    /// The name with its final dot: no search list is tried.
    case absolute = "metadata.google.internal."

    /// The spellings of a client in a pod of `namespace`, by the names that it asked a name server for.
    static func observed(in questions: [String], namespace: String) -> Set<Spelling> {
        let asked = Set(questions)
        let first = "\(namespace).svc.cluster.local"
        var found: Set<Spelling> = []
        if asked.contains("\(short.rawValue).\(first)") { found.insert(.short) }
        if asked.contains("\(name.rawValue).\(first)") { found.insert(.name) }
        // The search list never gets so far: what it makes of the name is answered before.
        if asked.contains(name.rawValue) { found.insert(.absolute) }
        return found
    }
}
