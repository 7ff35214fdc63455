import Glibc
import Synchronization

/// The nf_tables of one network namespace: that of the thread which made this value. Needs `CAP_NET_ADMIN` there.
///
/// Speaks to the kernel directly: no `nft` command is needed.
package final class Nftables: Sendable {
    private let socket: Mutex<NetlinkSocket>

    /// `NFNL_SUBSYS_NFTABLES`.
    private static let subsystem: UInt16 = 10
    /// `NFPROTO_INET`: IPv4 and IPv6 in one table.
    private static let family: UInt8 = 1

    private static let batchBegin: UInt16 = 0x10
    private static let batchEnd: UInt16 = 0x11

    private enum Message: UInt16 {
        case newTable = 0
        case getTable = 1
        case deleteTable = 2
        case newChain = 3
        case newRule = 6
        case getGeneration = 16
        case newObject = 18
        case getObject = 19

        var type: UInt16 { Nftables.subsystem << 8 | rawValue }
    }

    package init() throws(NetlinkError) {
        socket = Mutex(try NetlinkSocket())
    }

    /// Whether the kernel has nf_tables: asks for the number of the rules' generation.
    package func probe() throws(NetlinkError) {
        _ = try ask(.getGeneration, NetlinkAttributes(), "use nf_tables")
    }

    /// Puts `table` in the place of one of its name, in one transaction: every packet meets the old rules or the new
    /// ones. It has no owner, so that it outlives this process.
    package func replace(with table: NftablesTable) throws(NetlinkError) {
        try commit("install the nftables table inet \(table.name)") { batch in
            // Deleting needs one that exists.
            batch.add(.newTable, Self.named(table.name), NetlinkSocket.create)
            batch.add(.deleteTable, Self.named(table.name))
            batch.add(.newTable, Self.named(table.name), NetlinkSocket.create)
            for counter in table.counters {
                var attributes = Self.object(counter, of: table.name)
                attributes.nest(NFTA.Object.data) { _ in }
                batch.add(.newObject, attributes, NetlinkSocket.create)
            }
            for chain in table.chains {
                batch.add(.newChain, chain.attributes(in: table.name), NetlinkSocket.create)
                for rule in chain.rules {
                    batch.add(
                        .newRule, chain.attributes(of: rule, in: table.name),
                        NetlinkSocket.create | NetlinkSocket.append)
                }
            }
        }
    }

    /// Removes the table of this name, whatever is in it.
    ///
    /// - Returns: Whether there was one.
    /// - Throws: What the kernel said.
    package func remove(table name: String) throws(NetlinkError) -> Bool {
        // A transaction waits until no processor uses the old rules, though it changes nothing.
        guard try hasTable(name) else { return false }
        do throws(NetlinkError) {
            try commit("remove the nftables table inet \(name)") { $0.add(.deleteTable, Self.named(name)) }
            return true
        } catch  where error.errorNumber == ENOENT {
            return false
        }
    }

    package func hasTable(_ name: String) throws(NetlinkError) -> Bool {
        do throws(NetlinkError) {
            _ = try ask(.getTable, Self.named(name), "look for the nftables table inet \(name)")
            return true
        } catch  where error.errorNumber == ENOENT {
            return false
        }
    }

    /// The packets that a counter of a table has seen; `nil` if there is none.
    package func packets(countedBy counter: String, of table: String) throws(NetlinkError) -> UInt64? {
        do throws(NetlinkError) {
            let answer = try ask(
                .getObject, Self.object(counter, of: table), "read the counter \(counter) of inet \(table)")
            let data = NetlinkAttributeReader(answer[...])[NFTA.Object.data]
            return data.flatMap { NetlinkAttributeReader($0)[NFTA.Counter.packets]?.networkNumber }
        } catch  where error.errorNumber == ENOENT {
            return nil
        }
    }

    private static func named(_ table: String) -> NetlinkAttributes {
        var attributes = NetlinkAttributes()
        attributes.add(NFTA.Table.name, text: table)
        return attributes
    }

    /// A counter by name.
    private static func object(_ name: String, of table: String) -> NetlinkAttributes {
        var attributes = NetlinkAttributes()
        attributes.add(NFTA.Object.table, text: table)
        attributes.add(NFTA.Object.name, text: name)
        attributes.add(NFTA.Object.type, number: NFT.objectCounter)
        return attributes
    }

    private func ask(
        _ message: Message, _ attributes: NetlinkAttributes, _ operation: String
    ) throws(NetlinkError) -> [UInt8] {
        try socket.withLock { socket throws(NetlinkError) in
            var bytes: [UInt8] = []
            socket.write(type: message.type, flags: 0, family: Self.family, attributes, to: &bytes)
            return try socket.exchange(bytes, answerTo: socket.latest, operation)
        }
    }

    /// Messages that the kernel carries out all together or not at all.
    private struct Batch {
        var messages: [(Message, NetlinkAttributes, UInt16)] = []

        mutating func add(_ message: Message, _ attributes: NetlinkAttributes, _ flags: UInt16 = 0) {
            messages.append((message, attributes, flags))
        }
    }

    private func commit(_ operation: String, _ fill: (inout Batch) -> Void) throws(NetlinkError) {
        var batch = Batch()
        fill(&batch)
        let messages = batch.messages
        try socket.withLock { socket throws(NetlinkError) in
            var bytes: [UInt8] = []
            let none = NetlinkAttributes()
            socket.write(type: Self.batchBegin, flags: 0, family: 0, resource: Self.subsystem, none, to: &bytes)
            for (index, (message, attributes, flags)) in messages.enumerated() {
                // The acknowledgement of the last one arrives when all are in effect.
                let last = index == messages.count - 1 ? NetlinkSocket.acknowledge : 0
                socket.write(type: message.type, flags: flags | last, family: Self.family, attributes, to: &bytes)
            }
            let expected = socket.latest
            socket.write(type: Self.batchEnd, flags: 0, family: 0, resource: Self.subsystem, none, to: &bytes)
            _ = try socket.exchange(bytes, answerTo: expected, operation)
        }
    }
}
