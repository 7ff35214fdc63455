import Attribution
import BPF
import Operations

/// The forms of values.
extension ConfigurationKey {
    package static func text(_ text: String) -> String? {
        !text.isEmpty && text.utf8.count <= 1024 && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } ? text : nil
    }

    package static func path(_ text: String) -> String? {
        text.hasPrefix("/") && text.utf8.count < 4096 && !text.utf8.contains(0) ? text : nil
    }

    /// The socket beside `admin.socket` at which a running agent hands over.
    package static let handoverSocketName = "handover.sock"

    /// The path of a Unix socket, in whose directory a socket named `other` is bound as well.
    static func socketPath(_ text: String, besides other: String) throws(ConfigurationError) -> String {
        let (longest, length) = (UnixListener.pathBytesMax, text.utf8.count)
        guard length <= longest else {
            throw ConfigurationError(
                "the path has \(length) bytes, and the kernel takes \(longest) for a Unix socket (unix(7)): choose a shorter one"
            )
        }
        guard let path = path(text), let slash = path.lastIndex(of: "/") else {
            throw ConfigurationError("'\(text)' is not an absolute path")
        }
        guard path[...slash].utf8.count + other.utf8.count <= longest else {
            throw ConfigurationError(
                "'\(path[...slash])\(other)', which is bound as well, has more than the \(longest) bytes that the kernel takes for a "
                    + "Unix socket (unix(7)): choose a shorter directory")
        }
        return path
    }

    package static func url(_ text: String) -> String? {
        guard text.hasPrefix("https://") else { return nil }
        return Self.text(text).flatMap { $0.utf8.contains(UInt8(ascii: " ")) ? nil : $0 }
    }

    /// The parts of a list between its commas, without spaces.
    static func parts(_ text: String) -> [String] {
        text.split(separator: ",").map { String($0.filter { $0 != " " }) }
    }

    static func address(_ text: String) -> AgentConfiguration.Address? {
        IPAddress(text).map { AgentConfiguration.Address(text: text, value: $0) }
    }

    static func endpoints(_ text: String) -> [AgentConfiguration.Address]? {
        let parts = parts(text)
        guard (1...8).contains(parts.count) else { return nil }
        let addresses = parts.compactMap { address($0) }
        return addresses.count == parts.count ? addresses : nil
    }

    /// Exact strings: no comma, which separates them, and no space.
    static func audiences(_ text: String) -> [String]? {
        let parts = parts(text)
        let isAllowed = parts.allSatisfy { part in
            (1...256).contains(part.utf8.count) && part.utf8.allSatisfy { (0x21...0x7e).contains($0) }
        }
        return parts.count <= 16 && isAllowed ? parts : nil
    }

    static func labelKeys(_ text: String) -> [String]? {
        let parts = parts(text)
        return parts.count <= 16 && parts.allSatisfy(\.isQualifiedName) ? parts : nil
    }

    static func protectedEndpoints(_ text: String) -> [ProtectedEndpoint]? {
        let parts = parts(text)
        guard parts.count <= 32 else { return nil }
        let endpoints = parts.compactMap(protectedEndpoint)
        return endpoints.count == parts.count ? endpoints : nil
    }

    static func protectedEndpoint(_ text: String) -> ProtectedEndpoint? {
        if let address = address(text) { return ProtectedEndpoint(address: address.value) }
        guard let colon = text.lastIndex(of: ":"),
            let port = number(1...UInt16.max)(String(text[text.index(after: colon)...]))
        else { return nil }
        return IPAddress(host: text[..<colon]).map { ProtectedEndpoint(address: $0, port: port) }
    }

    static func number<Value: FixedWidthInteger & Sendable>(
        _ range: ClosedRange<Value>
    ) -> @Sendable (String) -> Value? {
        { text in
            guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
            return Value(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }
}
