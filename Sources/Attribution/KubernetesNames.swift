extension StringProtocol {
    /// 1 to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends: a label's name or value.
    var isLabelText: Bool {
        (1...63).contains(self.utf8.count) && self.hasAlphanumericEnds
            && self.utf8.allSatisfy { $0.isAlphanumeric || "-_.".utf8.contains($0) }
    }

    /// `[PREFIX/]NAME`, a DNS subdomain and a label's name: the key of a label or a taint.
    package var isQualifiedName: Bool {
        let parts = self.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count <= 2 && parts[parts.count - 1].isLabelText && (parts.count == 1 || parts[0].isDNSSubdomain)
    }

    private var hasAlphanumericEnds: Bool {
        let bytes = Array(self.utf8)
        return (bytes.first?.isAlphanumeric ?? false) && (bytes.last?.isAlphanumeric ?? false)
    }

    /// RFC 1123 label in lower case: a namespace's name.
    package var isDNSLabel: Bool {
        (1...63).contains(self.utf8.count) && self.isPartOfSubdomain
    }

    /// RFC 1123 subdomain in lower case, as Kubernetes checks it: a ServiceAccount's name. Its parts may be longer than
    /// those of a host name.
    package var isDNSSubdomain: Bool {
        self.utf8.count <= 253
            && self.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(\.isPartOfSubdomain)
    }

    private var isPartOfSubdomain: Bool {
        self.hasAlphanumericEnds
            && self.utf8.allSatisfy { $0.isLowercaseAlphanumeric || $0 == UInt8(ascii: "-") }
    }

    /// RFC 1123 host name in either case.
    package var isHostName: Bool {
        self.utf8.count <= 253
            && self.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
                label.utf8.count <= 63 && label.hasAlphanumericEnds
                    && label.utf8.allSatisfy { $0.isAlphanumeric || $0 == UInt8(ascii: "-") }
            }
    }
}

extension UInt8 {
    fileprivate var isLowercaseAlphanumeric: Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
    }

    fileprivate var isAlphanumeric: Bool {
        self.isLowercaseAlphanumeric || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self)
    }
}
