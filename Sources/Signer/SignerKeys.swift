package import Crypto
import FoundationEssentials
package import SpiffeIdentity
import X509

/// Everything that the signer signs with, as its files are now.
///
/// The folder of the authority has `tls.crt` (the authority, then its issuers) and `tls.key`, and may have `ca.crt`: the form
/// of a Secret of type kubernetes.io/tls, and of one that cert-manager writes. Every file `*.pem` beside them holds further
/// authorities that relying parties shall trust: the next one before it signs, the last one after. The folder of the JWT keys
/// has `signing.key`, and every other `*.key` beside it is published and signs nothing.
package struct SignerKeys: Sendable {
    package let authority: SigningAuthority
    package let tokenKey: P256.Signing.PrivateKey
    package let tokenKeyID: String
    package let bundle: TrustBundle

    /// The limit of a file, above any real Secret: those are 1 MiB at most.
    private static let fileLimit = 1 << 20

    /// Reads the folders.
    ///
    /// - Throws: Which file is at fault and why.
    package init(authority folder: String, tokenKeys: String, trustDomain: TrustDomain) throws(SpiffeError) {
        authority = try SigningAuthority(
            chainPEM: try Self.text(folder + "/tls.crt"), keyPEM: try Self.text(folder + "/tls.key"))
        var authorities = authority.isRoot ? [authority.der] : []
        for file in (["ca.crt"] + Self.names(in: folder, suffix: ".pem")) where Self.exists(folder + "/" + file) {
            for certificate in try SigningAuthority.certificates(pem: try Self.text(folder + "/" + file)) {
                guard let der = try? SigningAuthority.der(certificate) else { continue }
                if !authorities.contains(der) { authorities.append(der) }
            }
        }
        guard !authorities.isEmpty else {
            throw SpiffeError(
                "\(folder): the authority is an intermediate, and its root is in no file beside it (ca.crt)")
        }
        let signing = try Self.key(tokenKeys + "/signing.key")
        var keys = [TrustBundle.Key(signing.publicKey)]
        for file in Self.names(in: tokenKeys, suffix: ".key") where file != "signing.key" {
            let key = TrustBundle.Key(try Self.key(tokenKeys + "/" + file).publicKey)
            if !keys.contains(key) { keys.append(key) }
        }
        tokenKey = signing
        tokenKeyID = keys[0].id
        let changed = max(Self.modified(folder), Self.modified(tokenKeys))
        bundle = TrustBundle(trustDomain: trustDomain, sequence: changed, authorities: authorities, keys: keys)
    }

    private static func names(in folder: String, suffix: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(suffix) }.sorted()
    }

    private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    private static func text(_ path: String) throws(SpiffeError) -> String {
        guard let data = try? Data(contentsOf: URL(filePath: path)), data.count <= fileLimit else {
            throw SpiffeError("\(path) cannot be read")
        }
        return String(decoding: data, as: UTF8.self)
    }

    private static func key(_ path: String) throws(SpiffeError) -> P256.Signing.PrivateKey {
        guard let key = try? P256.Signing.PrivateKey(pemRepresentation: try text(path)) else {
            throw SpiffeError("\(path) is not an EC P-256 private key in PEM")
        }
        return key
    }

    /// The time at which a file of the folder was last changed: both replicas mount the same Secret.
    private static func modified(_ folder: String) -> UInt64 {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.reduce(0) { latest, name in
            let attributes = try? FileManager.default.attributesOfItem(atPath: folder + "/" + name)
            let date = attributes?[.modificationDate] as? Date
            return max(latest, UInt64(max(date?.timeIntervalSince1970 ?? 0, 0)))
        }
    }
}
