import Glibc
import Testing

@testable import Netlink

/// Messages to netfilter, by what the kernel's headers say of them.
@Suite struct NetlinkTests {
    /// One attribute as a reader of its own sees it.
    private struct Attribute: Equatable {
        var type: UInt16
        var value: [UInt8]

        /// The value as a number in network order.
        var number: UInt64 { value.reduce(0) { $0 << 8 | UInt64($1) } }
        var text: String { String(decoding: value.dropLast(), as: UTF8.self) }
        /// The attributes in the value.
        var inner: [Attribute] { Attribute.all(value) }

        func first(_ type: UInt16) -> Attribute? { inner.first { $0.type == type } }

        /// All attributes of a message, with `NLA_F_NESTED` taken off their types.
        static func all(_ bytes: [UInt8]) -> [Attribute] {
            var found: [Attribute] = []
            var rest = bytes[...]
            while rest.count >= 4 {
                let (length, type) = (Int(rest.host16(at: 0)), rest.host16(at: 2) & 0x7fff)
                found.append(Attribute(type: type, value: Array(rest.prefix(length).dropFirst(4))))
                rest = rest.dropFirst((length + 3) / 4 * 4)
            }
            return found
        }
    }

    private static func host(_ value: UInt16) -> [UInt8] {
        unsafe withUnsafeBytes(of: value) { unsafe [UInt8]($0) }
    }

    private static func header(_ length: UInt16, _ type: UInt16) -> [UInt8] { host(length) + host(type) }

    @Test func `an attribute has its length without the padding, a text its NUL, a number network order`() {
        var attributes = NetlinkAttributes()
        attributes.add(1, text: "ab")
        attributes.add(2, number: 0x0102_0304)
        attributes.nest(3) { $0.add(4, [9, 8, 7, 6, 5]) }
        attributes.add(5, [])
        let parts: [[UInt8]] = [
            Self.header(7, 1), Array("ab\0".utf8), [0], Self.header(8, 2), [1, 2, 3, 4], Self.header(16, 0x8003),
            Self.header(9, 4), [9, 8, 7, 6, 5, 0, 0, 0], Self.header(4, 5),
        ]
        #expect(attributes.bytes == Array(parts.joined()))
    }

    @Test func `a reader finds the first of a type, and ends at what does not fit`() {
        var attributes = NetlinkAttributes()
        attributes.add(1, [1])
        attributes.nest(2) { $0.add(7, [2]) }
        attributes.add(1, [3])
        attributes.add(4, [4, 4, 4, 4])
        // A slice that does not begin at 0, as of a message behind its header.
        let bytes = ([0, 0, 0] + attributes.bytes).dropFirst(3)
        let reader = NetlinkAttributeReader(bytes)
        #expect(reader[1].map { Array($0) } == [1])
        #expect(reader[2].flatMap { NetlinkAttributeReader($0)[7] }.map { Array($0) } == [2])
        #expect(reader[4]?.networkNumber == 0x0404_0404)
        #expect(reader[9] == nil)
        #expect(NetlinkAttributeReader(bytes.dropLast())[4] == nil)
        // A length that is no header's would never end.
        for length in [0, 3] as [UInt16] {
            #expect(NetlinkAttributeReader((Self.header(length, 1) + Self.header(4, 2))[...])[2] == nil)
        }
        #expect(NetlinkAttributeReader([1, 2, 3])[0] == nil)
    }

    @Test func `a rule that drops is a verdict, byte by byte`() {
        var list = NetlinkAttributes()
        NftablesTable.Expression.drop.write(to: &list)
        let parts: [[UInt8]] = [
            Self.header(48, 0x8001), Self.header(14, 1), Array("immediate\0".utf8), [0, 0],
            Self.header(28, 0x8002), Self.header(8, 1), [0, 0, 0, 0],
            Self.header(16, 0x8002), Self.header(12, 0x8002), Self.header(8, 1), [0, 0, 0, 0],
        ]
        #expect(list.bytes == Array(parts.joined()))
    }

    @Test func `a chain with a hook has place, priority and policy, one without has its name alone`() {
        let hooked = NftablesTable.Chain(name: "input", hook: .init(.input, priority: -283), rules: [])
        let attributes = Attribute.all(hooked.attributes(in: "t").bytes)
        #expect(attributes.map(\.type) == [1, 3, 4, 5, 7])
        #expect(attributes[0].text == "t" && attributes[1].text == "input" && attributes[4].text == "filter")
        #expect(attributes[2].first(1)?.number == 1)
        #expect(attributes[2].first(2)?.number == UInt64(UInt32(bitPattern: -283)))
        #expect(attributes[3].number == 1)
        let plain = NftablesTable.Chain(name: "drops", rules: [])
        #expect(Attribute.all(plain.attributes(in: "t").bytes).map(\.text) == ["t", "drops"])
    }

    /// Names and data of the expressions of one rule.
    private static func expressions(_ rule: NftablesTable.Expression...) -> [(name: String, data: [Attribute])] {
        let chain = NftablesTable.Chain(name: "c", rules: [rule])
        let attributes = Attribute.all(chain.attributes(of: rule, in: "t").bytes)
        #expect(attributes.map(\.type) == [1, 2, 4] && attributes[0].text == "t" && attributes[1].text == "c")
        return attributes[2].inner.map { element in
            (name: element.first(1)?.text ?? "", data: element.first(2)?.inner ?? [])
        }
    }

    @Test func `steps of a rule are written in their order, each with what it loads and compares`() {
        let steps = Self.expressions(
            .family(2), .bytes(of: .network, offset: 16, equal: [169, 254, 169, 254]), .count("dropped"), .goTo("c"))
        #expect(steps.map(\.name) == ["meta", "cmp", "payload", "cmp", "objref", "immediate"])
        // NFT_META_NFPROTO into NFT_REG_1, which the comparison reads.
        #expect(steps[0].data.map(\.number) == [1, 15])
        #expect(steps[1].data.prefix(2).map(\.number) == [1, 0] && steps[1].data[2].first(1)?.value == [2])
        #expect(steps[2].data.map(\.number) == [1, 1, 16, 4])
        #expect(steps[3].data[2].first(1)?.value == [169, 254, 169, 254])
        #expect(steps[4].data[0].number == 1 && steps[4].data[1].text == "dropped")
        let verdict = steps[5].data[1].first(2)
        #expect(verdict?.first(1)?.number == UInt64(UInt32(bitPattern: -4)) && verdict?.first(2)?.text == "c")
    }

    @Test func `what must differ is compared with each value, and bits are masked first`() {
        let ports = Self.expressions(.bytesDiffer(of: .transport, offset: 2, from: [[0, 53], [0, 123]]), .accept)
        #expect(ports.map(\.name) == ["payload", "cmp", "cmp", "immediate"])
        #expect(ports[0].data.map(\.number) == [1, 2, 2, 2])
        #expect(ports[1...2].map { $0.data[1].number } == [1, 1])
        #expect(ports[1...2].map { $0.data[2].first(1)?.value } == [[0, 53], [0, 123]])
        let bits = Self.expressions(.anyBit(of: .network, offset: 6, mask: [0x3f, 0xff]))
        #expect(bits.map(\.name) == ["payload", "bitwise", "cmp"])
        #expect(bits[1].data[3].first(1)?.value == [0x3f, 0xff] && bits[1].data[4].first(1)?.value == [0, 0])
        #expect(bits[2].data[1].number == 1 && bits[2].data[2].first(1)?.value == [0, 0])
        let option = Self.expressions(.ipv4Option(131), .extensionByteDiffers(type: 43, offset: 3, from: 0))
        #expect(option.map(\.name) == ["exthdr", "cmp", "exthdr", "cmp"])
        // One byte says that it is there: 1.
        #expect(option[0].data.map(\.number) == [1, 131, 0, 1, 1, 2] && option[1].data[2].first(1)?.value == [1])
        #expect(option[2].data.map(\.number) == [1, 43, 3, 1] && option[3].data[1].number == 1)
        // A link type is in the machine's own order.
        let local = Self.expressions(.interfaceType(772))
        #expect(local[0].data.map(\.number) == [1, 8] && local[1].data[2].first(1)?.value == Self.host(772))
    }

    @Test func `an error says what was tried, and why the kernel did not`() {
        let error = NetlinkError("use nf_tables", errorNumber: EPERM)
        #expect(error.description == "cannot use nf_tables: Operation not permitted")
    }

    @Test func `interfaces and addresses are listed again and again over one socket`() throws {
        var interfaces = try NetworkInterfaces()
        for _ in 0..<2 {
            let list = try interfaces.list()
            #expect(list.contains { $0.name == "lo" && $0.type == 772 && $0.kind == "" && $0.master == 0 })
            #expect(list.map(\.index) == Set(list.map(\.index)).sorted())
            let addresses = try interfaces.addresses()
            #expect(addresses.contains([127, 0, 0, 1]))
        }
    }
}
