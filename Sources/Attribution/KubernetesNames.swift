extension StringProtocol {
    /// 1 to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends: a label's name or value.
    var isLabelText: Bool {
        (1...63).contains(self.utf8.count) && self.hasAlphanumericEnds
            && self.utf8.allSatisfy { $0.isAlphanumeric || "-_.".utf8.contains($0) }
    }

    private var hasAlphanumericEnds: Bool {
        let bytes = Array(self.utf8)
        return (bytes.first?.isAlphanumeric ?? false) && (bytes.last?.isAlphanumeric ?? false)
    }

    /// RFC 1123 label in lower case: a namespace's name.
    package var isDNSLabel: Bool {
        (1...63).contains(self.utf8.count) && self.hasAlphanumericEnds
            && self.utf8.allSatisfy { $0.isLowercaseAlphanumeric || $0 == UInt8(ascii: "-") }
    }

    /// RFC 1123 subdomain in lower case: a ServiceAccount's name.
    package var isDNSSubdomain: Bool {
        self.utf8.count <= 253
            && self.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { part in
                !part.isEmpty && part.hasAlphanumericEnds
                    && part.utf8.allSatisfy { $0.isLowercaseAlphanumeric || $0 == UInt8(ascii: "-") }
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
