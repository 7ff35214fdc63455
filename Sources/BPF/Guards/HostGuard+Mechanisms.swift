import Glibc
import Netlink

extension HostGuard {
    /// How the guard sits in netfilter.
    package enum Mechanism: String, Sendable, CaseIterable {
        /// BPF programs, as links that are pinned (Linux 6.4).
        case bpf
        /// An nftables table. Pods whose policy is `passthrough` do not pass it.
        case nftables
    }

    /// An installed guard, and what reads its counter if that is not the programs' own.
    struct Installation {
        var mechanism: Mechanism
        var hooks: [HookState]
        var nftables: Nftables?
        var ownAddresses: OwnAddressGuard?
    }

    /// Installs the guard by the configured mechanism, or else by the first one that this kernel has.
    static func installFirst(_ configuration: DatapathConfiguration) throws(BPFError) -> Installation {
        switch configuration.hostGuardMechanism {
        case .bpf: return try installPrograms(configuration)
        case .nftables: return try installTable(configuration)
        case nil:
            let refusal: BPFError
            do throws(BPFError) {
                return try installPrograms(configuration)
            } catch {
                refusal = error
            }
            do throws(BPFError) {
                return try installTable(configuration)
            } catch {
                throw BPFError(
                    "guard the node's network namespace", errorNumber: error.errorNumber,
                    hint: "neither by BPF: \(refusal); nor by nftables: \(error)"
                )
            }
        }
    }

    private static func installPrograms(_ configuration: DatapathConfiguration) throws(BPFError) -> Installation {
        let (hooks, ownAddresses) = try install(configuration)
        // An earlier agent may have had to do without.
        _ = try? removeTable()
        return Installation(mechanism: .bpf, hooks: hooks, nftables: nil, ownAddresses: ownAddresses)
    }

    private static func installTable(_ configuration: DatapathConfiguration) throws(BPFError) -> Installation {
        let (nftables, wasThere) = try overNetlink { () throws(NetlinkError) -> (Nftables, Bool) in
            let nftables = try Nftables()
            return (nftables, try nftables.hasTable(NftablesGuard.tableName))
        }
        try nftables.replaceHostGuard(configuration)
        for place in places { unsafe unlink("\(configuration.pinDirectory.links)/\(place.pin)") }
        let state = HookState(name: tableHook, origin: wasThere ? .adopted : .attached)
        return Installation(mechanism: .nftables, hooks: [state], nftables: nftables)
    }

    /// The name of the guard by nftables among the hooks. It has no pin: the kernel keeps the table.
    static let tableHook = "forward-nftables"

    /// Whether the guard's nftables table is in the network namespace of the calling thread.
    static func hasTable() throws(BPFError) -> Bool {
        do throws(NetlinkError) {
            return try Nftables().hasTable(NftablesGuard.tableName)
        } catch  where [EPROTONOSUPPORT, EINVAL, EOPNOTSUPP].contains(error.errorNumber) {
            return false
        } catch {
            throw BPFError(error)
        }
    }

    /// Removes the guard's nftables table from the network namespace of the calling thread.
    ///
    /// - Returns: Its name as `nft` writes it, or `nil` if there was none.
    /// - Throws: What the kernel said.
    package static func removeTable() throws(BPFError) -> String? {
        try remove(table: NftablesGuard.tableName)
    }

    /// The same for any table of the family `inet`.
    static func remove(table name: String) throws(BPFError) -> String? {
        do throws(NetlinkError) {
            return try Nftables().remove(table: name) ? "table inet \(name)" : nil
        } catch  where [EPROTONOSUPPORT, EINVAL, EOPNOTSUPP].contains(error.errorNumber) {
            // A kernel without nf_tables has no table.
            return nil
        } catch {
            throw BPFError(error)
        }
    }
}

extension Nftables {
    /// Puts the host guard's table in place, or in the place of the one that is there.
    func replaceHostGuard(_ configuration: DatapathConfiguration) throws(BPFError) {
        try overNetlink { () throws(NetlinkError) in try replace(with: NftablesGuard.table(configuration)) }
    }

    /// The packets that the host guard's table has dropped since it was put in place, by the names of the programs'
    /// counters.
    var droppedByHostGuard: [String: UInt64] {
        // A removed table has counted nothing.
        let counts = NftablesGuard.counterNames.compactMap { name in
            (try? packets(countedBy: name, of: NftablesGuard.tableName)).map { (name, $0) }
        }
        return Dictionary(counts, uniquingKeysWith: { first, _ in first })
    }
}

/// Does something over netlink, and throws its failure as this module's.
func overNetlink<Result: ~Copyable>(_ body: () throws(NetlinkError) -> Result) throws(BPFError) -> Result {
    do throws(NetlinkError) {
        return try body()
    } catch {
        throw BPFError(error)
    }
}

extension BPFError {
    init(_ error: NetlinkError) {
        let hint =
            switch error.errorNumber {
            case EPERM: "netfilter needs CAP_NET_ADMIN in the node's network namespace"
            case EPROTONOSUPPORT, EINVAL, EOPNOTSUPP: "the kernel may lack nf_tables: load the module nf_tables"
            default: ""
            }
        self.init(error.operation, errorNumber: error.errorNumber, hint: hint)
    }
}
