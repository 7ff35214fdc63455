import Attribution
import Crypto

/// `RoleSessionName`, which CloudTrail and `GetCallerIdentity` show: `NAMESPACE.POD`.
///
/// Names of Kubernetes are within AWS's alphabet (`[\w+=,.@-]`). Names longer than AWS allows are cut, and end in a
/// part of their SHA-256. So no two pods of a cluster share a name.
struct RoleSessionName: Sendable, Hashable {
    static let lengthLimit = 64
    private static let digestLength = 16

    let text: String

    init(_ pod: PodRecord) {
        let whole = "\(pod.namespace).\(pod.name)"
        guard whole.utf8.count > Self.lengthLimit else {
            self.text = whole
            return
        }
        let digest = SHA256.hash(data: Array(whole.utf8)).prefix(Self.digestLength / 2)
            .map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        let kept = whole.utf8.prefix(Self.lengthLimit - Self.digestLength - 1)
        self.text = String(decoding: kept, as: UTF8.self) + "-" + digest
    }
}
