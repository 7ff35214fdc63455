import Attribution

/// An application or managed identity of Microsoft Entra ID, in its tenant: `CLIENT@TENANT`.
///
/// Both come from annotations, that is, from anybody who may edit a ServiceAccount: they are checked before they become part of
/// a URL.
package struct EntraIdentity: Sendable, Hashable {
    /// A GUID in lower case.
    package let clientID: String
    /// A GUID, or a domain.
    package let tenant: String

    package init?(clientID: String, tenant: String) {
        guard Self.isGUID(clientID), Self.isGUID(tenant) || Self.isDomain(tenant) else { return nil }
        self.clientID = clientID.lowercased()
        self.tenant = tenant.lowercased()
    }

    /// Reads ``text``.
    package init?(_ text: String) {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { return nil }
        self.init(clientID: parts[0], tenant: parts[1])
    }

    package var text: String { "\(clientID)@\(tenant)" }

    /// RFC 9562: eight, four, four, four and twelve hexadecimal digits.
    package static func isGUID(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        return parts.map(\.count) == [8, 4, 4, 4, 12]
            && parts.joined().allSatisfy { byte in
                isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
            }
    }

    private static func isDomain(_ text: String) -> Bool {
        text.isHostName && text.contains(".")
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
