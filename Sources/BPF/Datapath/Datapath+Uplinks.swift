import Synchronization

/// The guards of the node's interfaces and addresses.
extension Datapath {
    /// Drops frames that pods in the network namespace of the calling thread, which must be the node's, write to its
    /// interfaces themselves.
    ///
    /// - Returns: The interfaces that are guarded now, and those that are not.
    /// - Throws: Why there cannot be such a guard, such as a kernel before 6.6; or why the interfaces cannot be listed, which
    ///   ``refreshUplinks(afterLoss:always:)`` tries again.
    package func guardUplinks() throws(BPFError) -> [UplinkGuard.Change] {
        let uplinks = try UplinkGuard(configuration)
        let changes: [UplinkGuard.Change]
        do throws(BPFError) {
            changes = try uplinks.refresh()
        } catch {
            // Interfaces came and went during each list: the next look makes it again.
            guardState.withLock { $0.uplinks = uplinks }
            throw error
        }
        // A kernel that cannot do it says so for each of them.
        let isPossible = changes.contains { if case .guarded = $0 { true } else { false } }
        if !isPossible, case .failed(_, let error) = changes.first { throw error }
        guardState.withLock { $0.uplinks = uplinks }
        return changes
    }

    /// Has the host guard see what is translated to the node's own addresses, once one of those is protected. In the
    /// network namespace of the calling thread, which must be the node's.
    package func guardOwnAddresses() throws(BPFError) {
        guard let ownAddresses = guardState.withLock(\.ownAddresses) else { return }
        let inputs = Set(HostGuard.inputPlaces.map(\.pin))
        guard !guardState.withLock({ $0.hooks.contains { inputs.contains($0.name) } }) else { return }
        guard try ownAddresses.nodeHasProtectedAddress() else { return }
        let hooks = try ownAddresses.install(at: HostGuard.inputPlaces)
        guardState.withLock { $0.hooks += hooks }
    }

    /// Guards the interfaces that have come since ``guardUplinks()``, and forgets those that have gone. One system call where
    /// the kernel reports no change.
    ///
    /// - Parameters:
    ///   - afterLoss: Whether the pins' file system was mounted again, and all of them are to be guarded again.
    ///   - always: Whether to list the interfaces though no change was reported.
    /// - Returns: The changes.
    /// - Throws: Why the interfaces cannot be listed.
    package func refreshUplinks(afterLoss: Bool = false, always: Bool = false) throws(BPFError) -> [UplinkGuard.Change]
    {
        let (uplinks, watch) = guardState.withLock { ($0.uplinks, $0.watch) }
        var failure: BPFError?
        if afterLoss {
            // The pins alone held the interfaces' guards: those come first, whatever becomes of the other pins.
            uplinks?.forgetLinks()
            do throws(BPFError) { try restoreGuardPins() } catch { failure = error }
        }
        let isDue = watch?.take() ?? true
        guard isDue || afterLoss || always else { return [] }
        do throws(BPFError) {
            try guardOwnAddresses()
            let changes = try uplinks?.refresh() ?? []
            if uplinks?.hasFailed == true { watch?.demand() }
            if let failure { throw failure }
            return changes
        } catch {
            watch?.demand()
            throw error
        }
    }
}
