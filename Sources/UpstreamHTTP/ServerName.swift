import NIOSSL

/// The DNS name that a server has to prove with its certificate.
///
/// NIOSSL accepts a certificate that names the peer's IP address even where a host name was asked for. Public
/// authorities issue certificates for IP addresses, so an attacker who can forge a DNS answer could pass for any host:
/// the name itself is checked once more, before the first request goes out.
struct ServerName: Sendable, Hashable {
    private let name: String

    init(_ name: String) {
        self.name = Self.normalized(name)
    }

    /// Whether one of the certificate's DNS names is this one (RFC 9525 section 6.3): the whole name, or all of it but
    /// its first label after `*.`. The common name is not looked at.
    func isProved(by certificate: NIOSSLCertificate) -> Bool {
        certificate._subjectAlternativeNames().contains { alternative in
            alternative.nameType == .dnsName && matches(String(decoding: alternative.contents, as: UTF8.self))
        }
    }

    func matches(_ pattern: String) -> Bool {
        let pattern = Self.normalized(pattern)
        guard pattern.hasPrefix("*.") else { return !pattern.isEmpty && pattern == name }
        guard let dot = name.firstIndex(of: "."), dot != name.startIndex else { return false }
        return name[dot...] == pattern.dropFirst()
    }

    /// Lower case, without the dot of the root.
    private static func normalized(_ name: String) -> String {
        let lower = name.lowercased()
        return lower.hasSuffix(".") ? String(lower.dropLast()) : lower
    }
}
