import BPF
import Glibc
import Synchronization
import Testing

@testable import Enforcement

/// The entries of the programs' table that an agent writes while another serves as well, without a kernel.
@Suite struct RedirectTableTests {
    /// The kernel's table.
    private final class Store: ListenerStore {
        private let entries: Mutex<[UInt64: NamespaceListener]>
        private let capacity: Int

        init(_ entries: [UInt64: NamespaceListener] = [:], capacity: Int = 100) {
            self.entries = Mutex(entries)
            self.capacity = capacity
        }

        func setListener(_ listener: NamespaceListener, ofNamespace cookie: UInt64) throws(BPFError) {
            try entries.withLock { entries throws(BPFError) in
                guard entries[cookie] != nil || entries.count < capacity else {
                    throw BPFError("set", errorNumber: E2BIG)
                }
                entries[cookie] = listener
            }
        }

        func addListener(_ listener: NamespaceListener, ofNamespace cookie: UInt64) throws(BPFError) -> Bool {
            guard self.listener(ofNamespace: cookie) == nil else { return false }
            try setListener(listener, ofNamespace: cookie)
            return true
        }

        func removeListener(ofNamespace cookie: UInt64) { entries.withLock { $0[cookie] = nil } }
        func listener(ofNamespace cookie: UInt64) -> NamespaceListener? { entries.withLock { $0[cookie] } }
        func listeners() -> [UInt64: NamespaceListener] { entries.withLock { $0 } }
    }

    private static func listener(_ port: UInt16) -> NamespaceListener {
        NamespaceListener(port: port, hasIPv4: true, hasIPv6: true, state: .open)
    }

    private static let (old, new) = (listener(988), listener(987))

    @Test func `a successor adds what the agent that runs does not know, and removes that alone`() throws {
        let store = Store([1: Self.old])
        let table = RedirectTable()
        for cookie in [1, 2] as [UInt64] { try table.set(Self.new, of: cookie, in: store) }
        #expect(store.listeners() == [1: Self.old, 2: Self.new])
        #expect(!table.isWhole && !table.isGiven)
        for cookie in [1, 2] as [UInt64] { table.remove(cookie, from: store) }
        #expect(store.listeners() == [1: Self.old])
    }

    @Test func `what a successor has added is the running agent's once that one has opened the namespace`() throws {
        let store = Store()
        let table = RedirectTable()
        try table.set(Self.new, of: 1, in: store)
        try store.setListener(Self.old, ofNamespace: 1)
        table.remove(1, from: store)
        #expect(store.listeners() == [1: Self.old])
    }

    @Test func `once the table is its own, an agent replaces everything, and removes what it does not know`() throws {
        let store = Store([1: Self.old, 2: Self.old, 3: Self.old])
        let table = RedirectTable()
        table.change(to: .all)
        #expect(table.isWhole)
        try table.set(Self.new, of: 1, in: store)
        table.removeAll(except: { $0 == 1 || $0 == 2 }, from: store)
        #expect(store.listeners() == [1: Self.new, 2: Self.old])
    }

    @Test(arguments: [RedirectTable.Share.nothing, .ended])
    func `an agent that was replaced, or ends, writes nothing, its own entries included`(
        share: RedirectTable.Share
    ) throws {
        let store = Store()
        let table = RedirectTable()
        table.change(to: .all)
        try table.set(Self.old, of: 1, in: store)
        table.change(to: share)
        #expect(table.isGiven && !table.isWhole)
        try table.set(Self.new, of: 1, in: store)
        try table.set(Self.new, of: 2, in: store)
        table.remove(1, from: store)
        table.removeAll(except: { _ in false }, from: store)
        #expect(store.listeners() == [1: Self.old])
    }

    @Test func `a table that was given away can be taken back, but not at the agent's end`() throws {
        let store = Store()
        let table = RedirectTable()
        for share in [RedirectTable.Share.all, .nothing, .all] { table.change(to: share) }
        try table.set(Self.old, of: 1, in: store)
        for share in [RedirectTable.Share.ended, .all] { table.change(to: share) }
        #expect(table.isGiven)
        table.remove(1, from: store)
        #expect(store.listeners() == [1: Self.old])
    }

    @Test func `a full table is an error, for a successor as well`() {
        for share in [RedirectTable.Share.missing, .all] {
            let store = Store([1: Self.old], capacity: 1)
            let table = RedirectTable()
            table.change(to: share)
            #expect(throws: BPFError.self) { try table.set(Self.new, of: 2, in: store) }
            table.remove(2, from: store)
            #expect(store.listeners() == [1: Self.old])
        }
    }
}
