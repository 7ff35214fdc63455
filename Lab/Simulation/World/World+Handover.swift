import Attribution
import Tokens
import VirtualTime

/// The hand-over from an agent to its successor.
extension World {
    /// The place of the version in the bytes: behind a mark of four.
    private static let versionPlace = 4

    /// Tokens and ServiceAccounts pass as the bytes that pass over the socket, unless a fault damages these.
    func handOver(from agent: SimulatedAgent, to successor: SimulatedAgent) {
        let whole = agent.tokens.heldCredentials().bytes
        let damaged = damaged(whole)
        let bytes = damaged ?? whole
        let askedAt = options.mutation == .handoverNotChecked ? now + .seconds(3_600) : now
        let held = HeldCredentials(parsing: mutated(bytes, version: whole[Self.versionPlace]))
        var count = 0
        if let held { count = successor.tokens.adopt(held, askedAt: askedAt) { successor.directory.record(for: $0) } }
        note("agent \(successor.id) takes over \(count) of \(held?.tokenCount ?? 0) tokens, \(bytes.count) bytes")
        judge.check(.freeUpgrade)
        if damaged != nil {
            // Not even of what has arrived whole.
            if held != nil || !successor.tokens.snapshot().isEmpty {
                violated(.freeUpgrade, "agent \(successor.id) makes use of a hand-over that was damaged")
            }
        } else if held == nil {
            violated(.freeUpgrade, "agent \(successor.id) cannot read what agent \(agent.id) hands over")
        } else {
            judgeTokens(of: agent, takenBy: successor)
        }
    }

    private func judgeTokens(of agent: SimulatedAgent, takenBy successor: SimulatedAgent) {
        let now = now
        let taken = successor.tokens.snapshot()
        for entry in agent.tokens.snapshot() where (entry.remaining ?? .zero) > .seconds(1_200) {
            // A UID's second pod takes over nothing of the first.
            guard let record = successor.directory.record(for: entry.pod), !record.phase.isTerminal,
                agent.directory.record(for: entry.pod)?.name == record.name
            else { continue }
            let isThere = taken.contains { other in
                other.pod == entry.pod && other.kind == entry.kind && other.target == entry.target
                    && other.quotaProject == entry.quotaProject
                    && (other.remaining ?? .zero) <= (entry.remaining ?? .zero) + .milliseconds(1)
            }
            if !isThere, now > timeline.start {
                violated(.freeUpgrade, "the successor lacks the \(entry.kind) of \(entry.pod)")
            }
        }
    }

    /// The bytes of one hand-over in eight: cut, or of another version; `nil` where they pass whole.
    private func damaged(_ whole: [UInt8]) -> [UInt8]? {
        let isDrawn = handoverRandom.below(8) == 0
        guard isDrawn, options.faults.contains(.handoverDamaged), !options.leftOut.contains(.handoverDamaged) else {
            return nil
        }
        count(.handoverDamaged)
        note("fault \(Fault.handoverDamaged.rawValue)")
        if handoverRandom.chance(0.5) { return Array(whole.prefix(handoverRandom.below(whole.count))) }
        var bytes = whole
        bytes[Self.versionPlace] &+= UInt8(1 + handoverRandom.below(255))
        return bytes
    }

    /// The bytes as the successor reads them, or as one that takes each version for its own.
    private func mutated(_ bytes: [UInt8], version: UInt8) -> [UInt8] {
        guard options.mutation == .versionsIgnored, bytes.count > Self.versionPlace else { return bytes }
        var bytes = bytes
        bytes[Self.versionPlace] = version
        return bytes
    }
}
