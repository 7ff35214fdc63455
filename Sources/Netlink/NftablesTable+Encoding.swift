/// nf_tables' attributes (linux/netfilter/nf_tables.h).
extension NftablesTable.Expression {
    private static let register: UInt32 = 1
    private static let verdictRegister: UInt32 = 0

    // Keys of the `meta` expression.
    private static let metaInterfaceType: UInt32 = 8
    private static let metaFamily: UInt32 = 15

    private static let equal: UInt32 = 0
    private static let different: UInt32 = 1

    // Verdicts: netfilter's own, and the interpreter's.
    private static let dropCode: UInt32 = 0
    private static let acceptCode: UInt32 = 1
    private static let goToCode = UInt32(bitPattern: -4)

    private static let counterObject: UInt32 = 1

    // `exthdr`: NFT_EXTHDR_OP_IPV4 (Linux 5.3) and NFT_EXTHDR_F_PRESENT.
    private static let ipv4Options: UInt32 = 2
    private static let isPresent: UInt32 = 1

    /// Appends the expression to a rule's list.
    func write(to list: inout NetlinkAttributes) {
        switch self {
        case .interfaceType(let type):
            // Link types are kept in the machine's own byte order.
            var value: [UInt8] = []
            value.append(host: type)
            Self.meta(Self.metaInterfaceType, equal: value, to: &list)
        case .family(let family):
            Self.meta(Self.metaFamily, equal: [family], to: &list)
        case .bytes(let header, let offset, let value):
            Self.load(header, offset, value.count, to: &list)
            Self.compare(Self.equal, value, to: &list)
        case .bytesDiffer(let header, let offset, let values):
            Self.load(header, offset, values.first?.count ?? 0, to: &list)
            for value in values { Self.compare(Self.different, value, to: &list) }
        case .anyBit(let header, let offset, let mask):
            let zeros = [UInt8](repeating: 0, count: mask.count)
            Self.load(header, offset, mask.count, to: &list)
            Self.element("bitwise", to: &list) { data in
                data.add(1, number: Self.register)
                data.add(2, number: Self.register)
                data.add(3, number: UInt32(mask.count))
                data.nest(4) { $0.add(1, mask) }
                data.nest(5) { $0.add(1, zeros) }
            }
            Self.compare(Self.different, zeros, to: &list)
        case .ipv4Option(let type):
            Self.element("exthdr", to: &list) { data in
                data.add(1, number: Self.register)
                data.add(2, [type])
                data.add(3, number: 0)
                data.add(4, number: 1)
                data.add(5, number: Self.isPresent)
                data.add(6, number: Self.ipv4Options)
            }
            Self.compare(Self.equal, [1], to: &list)
        case .extensionByteDiffers(let type, let offset, let value):
            Self.loadExtension(type, offset, to: &list)
            Self.compare(Self.different, [value], to: &list)
        case .count(let name):
            Self.element("objref", to: &list) { data in
                data.add(1, number: Self.counterObject)
                data.add(2, text: name)
            }
        case .accept: Self.verdict(Self.acceptCode, to: &list)
        case .drop: Self.verdict(Self.dropCode, to: &list)
        case .goTo(let chain): Self.verdict(Self.goToCode, chain: chain, to: &list)
        }
    }

    private static func element(
        _ name: String, to list: inout NetlinkAttributes, _ data: (inout NetlinkAttributes) -> Void
    ) {
        list.nest(1) { element in
            element.add(1, text: name)
            element.nest(2, data)
        }
    }

    private static func meta(_ key: UInt32, equal value: [UInt8], to list: inout NetlinkAttributes) {
        element("meta", to: &list) { data in
            data.add(1, number: register)
            data.add(2, number: key)
        }
        compare(equal, value, to: &list)
    }

    private static func load(
        _ header: NftablesTable.Header, _ offset: UInt32, _ length: Int, to list: inout NetlinkAttributes
    ) {
        element("payload", to: &list) { data in
            data.add(1, number: register)
            data.add(2, number: header.rawValue)
            data.add(3, number: offset)
            data.add(4, number: UInt32(length))
        }
    }

    private static func loadExtension(_ type: UInt8, _ offset: UInt32, to list: inout NetlinkAttributes) {
        element("exthdr", to: &list) { data in
            data.add(1, number: register)
            data.add(2, [type])
            data.add(3, number: offset)
            data.add(4, number: 1)
        }
    }

    private static func compare(_ operation: UInt32, _ value: [UInt8], to list: inout NetlinkAttributes) {
        element("cmp", to: &list) { data in
            data.add(1, number: register)
            data.add(2, number: operation)
            data.nest(3) { $0.add(1, value) }
        }
    }

    private static func verdict(_ code: UInt32, chain: String? = nil, to list: inout NetlinkAttributes) {
        element("immediate", to: &list) { data in
            data.add(1, number: verdictRegister)
            data.nest(2) { value in
                value.nest(2) { verdict in
                    verdict.add(1, number: code)
                    if let chain { verdict.add(2, text: chain) }
                }
            }
        }
    }
}

extension NftablesTable.Chain {
    /// The attributes that make the chain, without its rules.
    func attributes(in table: String) -> NetlinkAttributes {
        var attributes = NetlinkAttributes()
        attributes.add(1, text: table)
        attributes.add(3, text: name)
        guard let hook else { return attributes }
        attributes.nest(4) { place in
            place.add(1, number: hook.place.rawValue)
            place.add(2, number: UInt32(bitPattern: hook.priority))
        }
        // Policy NF_ACCEPT.
        attributes.add(5, number: 1)
        attributes.add(7, text: "filter")
        return attributes
    }

    /// The attributes that make one of the chain's rules.
    func attributes(of rule: [NftablesTable.Expression], in table: String) -> NetlinkAttributes {
        var attributes = NetlinkAttributes()
        attributes.add(1, text: table)
        attributes.add(2, text: name)
        attributes.nest(4) { list in
            for expression in rule { expression.write(to: &list) }
        }
        return attributes
    }
}
