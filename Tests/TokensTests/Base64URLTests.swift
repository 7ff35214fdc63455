import Testing
import Tokens

@Suite struct Base64URLTests {
    @Test("base64url has one spelling for some bytes")
    func canonical() {
        #expect(Base64URL.encode([0xff, 0xef]) == "_-8" && Base64URL.decode("_-8") == [0xff, 0xef])
        for text in ["_-9", "_-8=", "/+8", "_", "a b", "\u{e4}"] { #expect(Base64URL.decode(text) == nil, "\(text)") }
    }

    @Test("every length comes back", arguments: 0..<10)
    func lengths(count: Int) {
        let bytes = (0..<count).map { UInt8(255 - $0 * 7) }
        #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
    }
}
