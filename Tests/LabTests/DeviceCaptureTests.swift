import Testing

@testable import Lab

/// The frames that a capture takes for one of an exchange with the agent.
@Suite struct DeviceCaptureTests {
    /// An Ethernet frame with an IPv4 header of 20 bytes, a TCP header, and a payload.
    private static func frame(from source: Int, to destination: Int, _ payload: String = "", isTCP: Bool = true)
        -> [UInt8]
    {
        var frame = [UInt8](repeating: 0, count: 54)
        (frame[12], frame[13], frame[14], frame[23]) = (8, 0, 0x45, isTCP ? 6 : 17)
        for (offset, port) in [(34, source), (36, destination)] {
            (frame[offset], frame[offset + 1]) = (UInt8(port >> 8), UInt8(port & 0xff))
        }
        return frame + [UInt8](payload.utf8) + [0]
    }

    @Test func `the agent's ports count in either direction, in TCP alone`() {
        #expect(DeviceCapture.isExchange(Self.frame(from: 40_000, to: 988)[...]))
        #expect(DeviceCapture.isExchange(Self.frame(from: 981, to: 40_000)[...]))
        #expect(!DeviceCapture.isExchange(Self.frame(from: 980, to: 989)[...]))
        #expect(!DeviceCapture.isExchange(Self.frame(from: 40_000, to: 988, isTCP: false)[...]))
    }

    @Test func `what only such an exchange says counts on every port, and in a cut frame`() {
        #expect(DeviceCapture.isExchange(Self.frame(from: 1, to: 2, "GET / HTTP/1.1\r\nMetadata-Flavor: Google")[...]))
        #expect(DeviceCapture.isExchange(Self.frame(from: 1, to: 2, "{\"access_token\":")[...]))
        #expect(!DeviceCapture.isExchange(Self.frame(from: 1, to: 2, "GET / HTTP/1.1")[...]))
        #expect(!DeviceCapture.isExchange([][...]))
        #expect(!DeviceCapture.isExchange(Self.frame(from: 40_000, to: 988).prefix(36)))
    }
}
