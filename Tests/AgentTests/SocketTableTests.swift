import Testing

@testable import Diagnostics

@Suite struct SocketTableTests {
    private static let table4 = """
          sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0 100 0 0 10 0
           1: 0100580A:C350 0100580A:2426 01 00000000:00000000 00:00000000 00000000     0        0 1002 1 0 20 4 30 10 -1
        """

    @Test("the far end of a socket is found by its inode")
    func ipv4() {
        #expect(SocketTable.remote(ofInode: 1002, in: Self.table4) == "10.88.0.1:9254")
        #expect(SocketTable.remote(ofInode: 1001, in: Self.table4) == "0.0.0.0:0")
        #expect(SocketTable.remote(ofInode: 1003, in: Self.table4) == nil)
    }

    @Test(
        "IPv6 addresses are read, and mapped ones lose their disguise",
        arguments: [
            ("000088FD000000000000000001000000:2426", "[fd88::1]:9254"),
            ("0000000000000000FFFF00000100580A:2426", "10.88.0.1:9254"),
        ])
    func ipv6(text: String, expected: String) {
        let line =
            "   0: 00000000000000000000000001000000:C350 \(text) 01 00000000:00000000 00:00000000 00000000 0 0 7 1"
        #expect(SocketTable.remote(ofInode: 7, in: "head\n" + line) == expected)
    }

    @Test("what is no table has no far end", arguments: ["", "\n", "a\nb c d", "h\n0: x 0100580A 01 0 0 0 0 0 7 1"])
    func malformed(text: String) {
        #expect(SocketTable.remote(ofInode: 7, in: text) == nil)
    }
}
