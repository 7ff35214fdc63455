import BPF
import Synchronization

/// The programs' table of listeners, which the agents of a node write one after the other.
protocol ListenerStore: Sendable {
    func setListener(_ listener: NamespaceListener, ofNamespace cookie: UInt64) throws(BPFError)
    /// Returns whether there was no entry.
    func addListener(_ listener: NamespaceListener, ofNamespace cookie: UInt64) throws(BPFError) -> Bool
    func removeListener(ofNamespace cookie: UInt64)
    func listener(ofNamespace cookie: UInt64) -> NamespaceListener?
    func listeners() -> [UInt64: NamespaceListener]
}

extension Datapath: ListenerStore {}

/// Writes the programs' table of listeners as far as it is this agent's: entries of another agent that serves stay as they are.
final class RedirectTable: Sendable {
    /// The entries that are this agent's to write.
    enum Share: Sendable, Equatable {
        case all
        /// The entries of namespaces that the agent which is to be replaced does not know.
        case missing
        /// None: a successor has them, until it fails.
        case nothing
        /// None, for good: this agent ends.
        case ended
    }

    private struct State {
        var share = Share.missing
        /// The entries that this agent has added beside another's.
        var added: [UInt64: NamespaceListener] = [:]
    }

    /// The state, locked over each write, so that none comes after a change of the share.
    private let state = Mutex(State())

    /// Whether every entry is this agent's.
    var isWhole: Bool { state.withLock { $0.share == .all } }

    /// Whether no entry is this agent's.
    var isGiven: Bool { state.withLock { $0.share == .nothing || $0.share == .ended } }

    /// Changes the share. Nothing beyond it is written once this has returned. After `.ended` the share stays.
    func change(to share: Share) {
        state.withLock { state in
            guard state.share != .ended else { return }
            state.share = share
            state.added = [:]
        }
    }

    /// Has the programs redirect to a listener, or refuse, where the entry is this agent's to write.
    ///
    /// - Throws: What the kernel said.
    func set(_ listener: NamespaceListener, of cookie: UInt64, in store: some ListenerStore) throws(BPFError) {
        try state.withLock { state throws(BPFError) in
            switch state.share {
            case .all: try store.setListener(listener, ofNamespace: cookie)
            case .missing:
                if try store.addListener(listener, ofNamespace: cookie) { state.added[cookie] = listener }
            case .nothing, .ended: break
            }
        }
    }

    /// Has the programs hold a namespace's connections, where the entry is this agent's to remove.
    func remove(_ cookie: UInt64, from store: some ListenerStore) {
        state.withLock { state in
            switch state.share {
            case .all: store.removeListener(ofNamespace: cookie)
            case .missing:
                // The other agent may have opened the namespace since.
                guard let added = state.added.removeValue(forKey: cookie), store.listener(ofNamespace: cookie) == added
                else { return }
                store.removeListener(ofNamespace: cookie)
            case .nothing, .ended: break
            }
        }
    }

    /// Has the programs hold the connections of every namespace but those that are known.
    func removeAll(except isKnown: (UInt64) -> Bool, from store: some ListenerStore) {
        for cookie in store.listeners().keys where !isKnown(cookie) { remove(cookie, from: store) }
    }
}
