import Foundation
import SwiftASN1
import X509

/// An authenticated user.
struct KubernetesUser: Sendable, Equatable {
    var name: String
    var uid: String?
    var groups: [String]
    var extra: [String: [String]] = [:]

    /// The node of a user that the Node authorizer recognises: right name and right group.
    var nodeName: String? {
        guard groups.contains("system:nodes"), name.hasPrefix("system:node:") else { return nil }
        return String(name.dropFirst("system:node:".count))
    }

    var isAdministrator: Bool { groups.contains("system:masters") }
    var isServiceAccount: Bool { groups.contains("system:serviceaccounts") }

    static let anonymous = KubernetesUser(name: "system:anonymous", groups: ["system:unauthenticated"])

    static func node(_ name: String) -> KubernetesUser {
        KubernetesUser(name: "system:node:\(name)", groups: ["system:nodes", "system:authenticated"])
    }

    /// `user` or `userInfo` of reviews.
    var json: JSON {
        let extra = extra.sorted { $0.key < $1.key }.map { JSON.Member($0.key, .strings($0.value)) }
        return [
            "username": .string(name), "uid": uid.map { .string($0) }, "groups": .strings(groups),
            "extra": extra.isEmpty ? nil : .object(extra),
        ]
    }
}

extension KubernetesUser {
    /// The user of a client certificate: signed by the authority, valid now, for client authentication.
    ///
    /// `nil` for a foreign authority, an expired certificate and a wrong extended key usage alike.
    init?(certificateDER: [UInt8], authority: Certificate, now: Date) {
        guard let certificate = try? Certificate(derEncoded: certificateDER),
            authority.publicKey.isValidSignature(certificate.signature, for: certificate),
            certificate.issuer == authority.subject,
            certificate.notValidBefore <= now, now <= certificate.notValidAfter,
            let usages = try? certificate.extensions.extendedKeyUsage, usages.contains(.clientAuth),
            let name = certificate.subject.values(of: .RDNAttributeType.commonName).first
        else { return nil }
        let organizations = certificate.subject.values(of: .RDNAttributeType.organizationName)
        self.init(name: name, groups: organizations + ["system:authenticated"])
    }
}

extension DistinguishedName {
    fileprivate func values(of type: ASN1ObjectIdentifier) -> [String] {
        flatMap { name in name.filter { $0.type == type }.compactMap { String($0.value) } }
    }
}
