/// The messages of nf_tables (linux/netfilter/nf_tables.h).
extension NftablesTable.Expression {
    /// Appends the expression to a rule's list.
    func write(to list: inout NetlinkAttributes) {
        switch self {
        case .interfaceType(let type):
            // Link types are kept in the machine's own byte order.
            var value: [UInt8] = []
            value.append(host: type)
            Self.meta(NFT.metaInterfaceType, equal: value, to: &list)
        case .family(let family):
            Self.meta(NFT.metaProtocol, equal: [family], to: &list)
        case .bytes(let header, let offset, let value):
            Self.load(header, offset, value.count, to: &list)
            Self.compare(NFT.equal, value, to: &list)
        case .bytesDiffer(let header, let offset, let values):
            Self.load(header, offset, values.first?.count ?? 0, to: &list)
            for value in values { Self.compare(NFT.different, value, to: &list) }
        case .anyBit(let header, let offset, let mask):
            let zeros = [UInt8](repeating: 0, count: mask.count)
            Self.load(header, offset, mask.count, to: &list)
            Self.element("bitwise", to: &list) { data in
                data.add(NFTA.Bitwise.sourceRegister, number: NFT.register1)
                data.add(NFTA.Bitwise.destinationRegister, number: NFT.register1)
                data.add(NFTA.Bitwise.length, number: UInt32(mask.count))
                data.nest(NFTA.Bitwise.mask) { $0.add(NFTA.Data.value, mask) }
                data.nest(NFTA.Bitwise.xor) { $0.add(NFTA.Data.value, zeros) }
            }
            Self.compare(NFT.different, zeros, to: &list)
        case .ipv4Option(let type):
            Self.element("exthdr", to: &list) { data in
                data.add(NFTA.ExtensionHeader.destinationRegister, number: NFT.register1)
                data.add(NFTA.ExtensionHeader.type, [type])
                data.add(NFTA.ExtensionHeader.offset, number: 0)
                data.add(NFTA.ExtensionHeader.length, number: 1)
                data.add(NFTA.ExtensionHeader.flags, number: NFT.isPresent)
                data.add(NFTA.ExtensionHeader.operation, number: NFT.ipv4Options)
            }
            Self.compare(NFT.equal, [1], to: &list)
        case .extensionByteDiffers(let type, let offset, let value):
            Self.loadExtension(type, offset, to: &list)
            Self.compare(NFT.different, [value], to: &list)
        case .count(let name):
            Self.element("objref", to: &list) { data in
                data.add(NFTA.ObjectReference.type, number: NFT.objectCounter)
                data.add(NFTA.ObjectReference.name, text: name)
            }
        case .accept: Self.verdict(NFT.accept, to: &list)
        case .drop: Self.verdict(NFT.drop, to: &list)
        case .goTo(let chain): Self.verdict(NFT.goTo, chain: chain, to: &list)
        }
    }

    private static func element(
        _ name: String, to list: inout NetlinkAttributes, _ data: (inout NetlinkAttributes) -> Void
    ) {
        list.nest(NFTA.List.element) { element in
            element.add(NFTA.Expression.name, text: name)
            element.nest(NFTA.Expression.data, data)
        }
    }

    private static func meta(_ key: UInt32, equal value: [UInt8], to list: inout NetlinkAttributes) {
        element("meta", to: &list) { data in
            data.add(NFTA.Meta.destinationRegister, number: NFT.register1)
            data.add(NFTA.Meta.key, number: key)
        }
        compare(NFT.equal, value, to: &list)
    }

    private static func load(
        _ header: NftablesTable.Header, _ offset: UInt32, _ length: Int, to list: inout NetlinkAttributes
    ) {
        element("payload", to: &list) { data in
            data.add(NFTA.Payload.destinationRegister, number: NFT.register1)
            data.add(NFTA.Payload.base, number: header.rawValue)
            data.add(NFTA.Payload.offset, number: offset)
            data.add(NFTA.Payload.length, number: UInt32(length))
        }
    }

    private static func loadExtension(_ type: UInt8, _ offset: UInt32, to list: inout NetlinkAttributes) {
        element("exthdr", to: &list) { data in
            data.add(NFTA.ExtensionHeader.destinationRegister, number: NFT.register1)
            data.add(NFTA.ExtensionHeader.type, [type])
            data.add(NFTA.ExtensionHeader.offset, number: offset)
            data.add(NFTA.ExtensionHeader.length, number: 1)
        }
    }

    private static func compare(_ operation: UInt32, _ value: [UInt8], to list: inout NetlinkAttributes) {
        element("cmp", to: &list) { data in
            data.add(NFTA.Compare.sourceRegister, number: NFT.register1)
            data.add(NFTA.Compare.operation, number: operation)
            data.nest(NFTA.Compare.data) { $0.add(NFTA.Data.value, value) }
        }
    }

    private static func verdict(_ code: UInt32, chain: String? = nil, to list: inout NetlinkAttributes) {
        element("immediate", to: &list) { data in
            data.add(NFTA.Immediate.destinationRegister, number: NFT.registerVerdict)
            data.nest(NFTA.Immediate.data) { value in
                value.nest(NFTA.Data.verdict) { verdict in
                    verdict.add(NFTA.Verdict.code, number: code)
                    if let chain { verdict.add(NFTA.Verdict.chain, text: chain) }
                }
            }
        }
    }
}

extension NftablesTable.Chain {
    /// The attributes that make the chain, without its rules.
    func attributes(in table: String) -> NetlinkAttributes {
        var attributes = NetlinkAttributes()
        attributes.add(NFTA.Chain.table, text: table)
        attributes.add(NFTA.Chain.name, text: name)
        guard let hook else { return attributes }
        attributes.nest(NFTA.Chain.hook) { place in
            place.add(NFTA.Hook.number, number: hook.place.rawValue)
            place.add(NFTA.Hook.priority, number: UInt32(bitPattern: hook.priority))
        }
        attributes.add(NFTA.Chain.policy, number: NFT.accept)
        attributes.add(NFTA.Chain.type, text: "filter")
        return attributes
    }

    /// The attributes that make one of the chain's rules.
    func attributes(of rule: [NftablesTable.Expression], in table: String) -> NetlinkAttributes {
        var attributes = NetlinkAttributes()
        attributes.add(NFTA.Rule.table, text: table)
        attributes.add(NFTA.Rule.chain, text: name)
        attributes.nest(NFTA.Rule.expressions) { list in
            for expression in rule { expression.write(to: &list) }
        }
        return attributes
    }
}
