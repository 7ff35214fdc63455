/// The ports that a listener may have, from the first one downwards: an agent takes another than the one it replaces.
package struct ListenerPorts: Sendable, Hashable {
    package var first: UInt16
    package var count: UInt8

    /// The number of ports: as many as there may be agents, and other processes of a pod, that hold one.
    package static let tried: UInt8 = 8

    package init(first: UInt16, count: UInt8 = ListenerPorts.tried) {
        self.first = first
        self.count = count
    }

    package var range: ClosedRange<UInt16> { first - UInt16(count) + 1...first }

    package func contains(_ port: UInt16) -> Bool { port <= first && first - port < UInt16(count) }
}
