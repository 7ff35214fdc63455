import Attribution
import BPF
import Glibc
import Restart
import Settings

/// Listening sockets that another process has kept, and that are what they should be.
struct LoopbackSockets {
    var opened: OpenedListeners

    /// Looks at each: `nil` unless all listen on a loopback address at the expected port, no two on the same.
    init?(_ descriptors: [CInt], expected: NamespaceListener) {
        var families: LoopbackFamilies = []
        for descriptor in descriptors {
            let family: LoopbackFamilies =
                if Self.listens(descriptor, .init(text: "127.0.0.1", value: .ipv4(0x7f00_0001)), expected.port) {
                    .ipv4
                } else if Self.listens(descriptor, .init(text: "::1", value: .ipv6(0, 1)), expected.port) {
                    .ipv6
                } else {
                    []
                }
            guard !family.isEmpty, families.isDisjoint(with: family) else { return nil }
            families.formUnion(family)
        }
        guard !families.isEmpty else { return nil }
        opened = OpenedListeners(port: expected.port, families: families, descriptors: descriptors)
    }

    private static func listens(
        _ descriptor: CInt, _ address: AgentConfiguration.Address, _ port: UInt16
    ) -> Bool {
        ListeningSocket.listens(descriptor, on: address, port: port)
    }
}
