import Crypto

/// Names a pod-bound JWT without giving anything away.
enum TokenID {
    /// The first 16 hexadecimal digits of the SHA-256 of its `jti`, which the API server's own audit log has as
    /// `authentication.kubernetes.io/issued-credential-id` (after `JTI=`).
    static func hash(_ jti: String) -> String {
        SHA256.hash(data: Array(jti.utf8)).prefix(8).map { byte in
            let digits = String(byte, radix: 16)
            return digits.utf8.count == 1 ? "0" + digits : digits
        }.joined()
    }
}
