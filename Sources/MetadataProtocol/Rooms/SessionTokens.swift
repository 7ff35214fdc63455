package import Attribution
import Crypto
import Tokens

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Makes and checks session tokens: what a client has to fetch with a PUT before it may ask anything.
///
/// A token is a guard against forged requests, not an identity: it says that its sender could choose a method and a
/// header. It is bound to the pod that fetched it, and holds all that is needed to check it. So the agent keeps none of
/// them, and its successor accepts them as well.
package struct SessionTokens: Sendable {
    /// AWS's own range.
    package static let seconds = 1...21_600
    static let keyBytes = 32

    private let key: SymmetricKey

    /// `key` has 32 random bytes, the same for an agent and its successor.
    package init(key: [UInt8]) {
        self.key = SymmetricKey(data: key)
    }

    package static func makeKey() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<keyBytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    /// A token for `pod` that ends in `seconds`.
    package func make(for pod: PodUID, seconds: Int) -> String {
        var generator = SystemRandomNumberGenerator()
        let end = Self.now() + UInt64(seconds)
        let head = Self.bytes(end) + Self.bytes(UInt64.random(in: 0...UInt64.max, using: &generator))
        return Base64URL.encode(head + Self.mac(head, of: pod, key))
    }

    /// Whether `token` was made for `pod` and has not ended.
    package func accepts(_ token: String, from pod: PodUID) -> Bool {
        guard let bytes = Base64URL.decode(token), bytes.count == Self.headBytes + SHA256.byteCount else {
            return false
        }
        let head = Array(bytes.prefix(Self.headBytes))
        guard
            HMAC<SHA256>.isValidAuthenticationCode(
                bytes.suffix(SHA256.byteCount), authenticating: head + Self.name(of: pod), using: key)
        else { return false }
        return Self.now() < head.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Returns the rest of an accepted token's life. Of a text that is no token of ours it says nothing.
    package func remaining(of token: String) -> Duration {
        guard let bytes = Base64URL.decode(token), bytes.count > 8 else { return .zero }
        let end = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        return .seconds(Int(clamping: end - min(end, Self.now())))
    }

    private static let headBytes = 16

    private static func mac(_ head: [UInt8], of pod: PodUID, _ key: SymmetricKey) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: head + name(of: pod), using: key))
    }

    private static func name(of pod: PodUID) -> [UInt8] { Array(pod.description.utf8) }

    private static func bytes(_ number: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64($0))) }
    }

    /// Seconds since the machine started: no step of the wall clock lengthens a token's life, and the processes that hold
    /// one do not outlive the machine's uptime either.
    private static func now() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt64(max(time.tv_sec, 0))
    }
}
