/// The name of a SPIFFE trust domain: what one set of certificate authorities speaks for.
///
/// SPIFFE-ID section 2.1: lower-case letters, digits, `.`, `-` and `_`, at most 255 bytes.
package struct TrustDomain: Sendable, Hashable, CustomStringConvertible {
    package let name: String

    package init?(_ name: String) {
        let isAllowed = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
            default: false
            }
        }
        guard isAllowed, (1...255).contains(name.utf8.count) else { return nil }
        self.name = name
    }

    package var description: String { name }
    /// The SPIFFE ID of the trust domain itself: the key of bundles.
    package var id: String { "spiffe://\(name)" }
}

/// The SPIFFE ID of a workload, `spiffe://TRUST-DOMAIN/PATH`.
package struct SpiffeID: Sendable, Hashable, CustomStringConvertible {
    package let trustDomain: TrustDomain
    /// Begins with a slash.
    package let path: String

    /// SPIFFE-ID section 2.3.
    private static let longest = 2048

    /// The ID of the pods that run as one ServiceAccount, in the form that Istio and SPIRE use.
    package init?(_ trustDomain: TrustDomain, namespace: String, serviceAccount: String) {
        guard Self.isSegment(namespace[...]), Self.isSegment(serviceAccount[...]) else { return nil }
        self.init(trustDomain: trustDomain, path: "/ns/\(namespace)/sa/\(serviceAccount)")
    }

    /// Parses an ID of a workload; the ID of a trust domain, which has no path, is none.
    package init?(_ text: String) {
        let scheme = "spiffe://"
        guard text.utf8.count <= Self.longest, text.hasPrefix(scheme) else { return nil }
        let rest = text.dropFirst(scheme.count)
        guard let slash = rest.firstIndex(of: "/"), let domain = TrustDomain(String(rest[..<slash])) else { return nil }
        let segments = rest[slash...].dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        guard segments.allSatisfy(Self.isSegment) else { return nil }
        self.init(trustDomain: domain, path: String(rest[slash...]))
    }

    private init?(trustDomain: TrustDomain, path: String) {
        self.trustDomain = trustDomain
        self.path = path
        guard description.utf8.count <= Self.longest else { return nil }
    }

    package var description: String { trustDomain.id + path }

    private static func isSegment(_ segment: Substring) -> Bool {
        guard !segment.isEmpty, segment != ".", segment != ".." else { return false }
        return segment.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
            default: false
            }
        }
    }
}
