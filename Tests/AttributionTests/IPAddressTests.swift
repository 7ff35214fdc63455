import Attribution
import Testing

/// Addresses as operators, pods and the kernel write them.
@Suite struct IPAddressTests {
    @Test(arguments: [
        ("169.254.169.254", "169.254.169.254", IPAddress.ipv4(0xa9fe_a9fe)),
        ("fd20:ce::254", "fd20:ce::254", .ipv6(0xfd20_00ce_0000_0000, 0x254)),
        ("FD00:EC2:0:0::254", "fd00:ec2::254", .ipv6(0xfd00_0ec2_0000_0000, 0x254)),
        ("::ffff:169.254.169.254", "::ffff:169.254.169.254", .ipv6(0, 0xffff_a9fe_a9fe)),
    ])
    func `an address is read, and written in its shortest form`(_ text: String, _ shortest: String, _ value: IPAddress)
    {
        #expect(IPAddress(text) == value)
        #expect(value.text == shortest)
        #expect(IPAddress(bytes: value.bytes) == value)
    }

    @Test(arguments: ["", "169.254.169", "169.254.169.0254", "[::1]", "::1%eth0", "1.2.3.4:80", " 1.2.3.4", "metadata"])
    func `anything else is no address`(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func `the host of an endpoint has brackets if it is an IPv6 address, and else none`() {
        #expect(IPAddress(host: "192.0.2.1") == .ipv4(0xc000_0201))
        #expect(IPAddress(host: "[::1]") == .ipv6(0, 1))
        for host in ["::1", "[192.0.2.1]", "[::1", "::1]", "[]", ""] { #expect(IPAddress(host: host[...]) == nil) }
    }

    @Test func `the mapped form of an IPv4 address is that address, and nothing else is`() {
        #expect(IPAddress("::ffff:192.0.2.1")?.unmapped == .ipv4(0xc000_0201))
        for text in ["192.0.2.1", "::192.0.2.1", "64:ff9b::192.0.2.1"] {
            #expect(IPAddress(text).map { $0.unmapped == $0 } == true)
        }
        #expect(IPAddress(bytes: [1, 2, 3]) == nil)
    }
}
