import Attribution
import Testing

@Suite struct PodUIDTests {
    @Test(arguments: [
        "95387fa4-c9d5-4b86-9a5e-3a0f0c9d1e2f",
        "00000000-1111-2222-3333-444444444444",
        "ffffffff-ffff-4fff-8fff-ffffffffffff",
        "22949dce-fd8b-11ea-8ede-98f2b32c645c",
        "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "00000000000000000000000000000000",
    ])
    func `reads what the API server and the kubelet write, and writes it back`(_ text: String) throws {
        let uid = try #require(PodUID(text))
        #expect(uid.description == text)
        #expect(PodUID(bytes: Array(text.utf8)) == uid)
    }

    @Test(arguments: [
        "", "-", "my-static-uid", "pod1",
        "95387FA4-C9D5-4B86-9A5E-3A0F0C9D1E2F",
        "95387fa4_c9d5_4b86_9a5e_3a0f0c9d1e2f",
        "95387fa4-c9d5-4b86-9a5e-3a0f0c9d1e2",
        "95387fa4-c9d5-4b86-9a5e-3a0f0c9d1e2ff",
        "95387fa4-c9d5-4b86-9a5e-3a0f0c9d1e2g",
        "95387fa4c-9d5-4b86-9a5e-3a0f0c9d1e2f",
        "95387fa4-c9d5-4b86-9a5e-3a0f0c9d1e-f",
        "95387fa4-c9d5-4b86-9a5e-3a0f0c9d1e2\u{0}",
        "0f1e2d3c4b5a69788796a5b4c3d2e1f", "0f1e2d3c4b5a69788796a5b4c3d2e1f00", "0F1E2D3C4B5A69788796A5B4C3D2E1F0",
        "22222222‐2222‐4222‐8222‐222222222222",
        "２２２２２２２２-2222-4222-8222-222222222222",
    ])
    func `refuses every other text`(_ text: String) {
        #expect(PodUID(text) == nil)
    }

    @Test func `the same digits in the two forms are two UIDs`() throws {
        let uuid = try #require(PodUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"))
        #expect(uuid != .staticHash)
        #expect(uuid < .staticHash)
        #expect(Set([uuid, .staticHash]).count == 2)
    }

    @Test func `order is the order of the digits`() {
        #expect([.victim, .web, PodUID.staticHash].sorted() == [.staticHash, .web, .victim])
    }
}
