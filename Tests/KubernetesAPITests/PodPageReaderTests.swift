import NIOCore
import Testing

@testable import KubernetesAPI

/// Pages of pod lists, as they arrive.
@Suite struct PodPageReaderTests {
    private static func read(_ chunks: [String]) -> PodPageReader {
        var reader = PodPageReader(nodeName: "node-a", labels: [])
        for chunk in chunks where !reader.read(ByteBuffer(string: chunk)) { break }
        return reader
    }

    private static let page = podList(version: 7, [podObject("u1")], next: "more")

    @Test("a page reads the same wherever it is cut")
    func cuts() {
        for cut in Self.page.indices {
            let reader = Self.read([String(Self.page[..<cut]), String(Self.page[cut...])])
            #expect(reader.pods == [ObservedPod(record: pod("u1"))])
            #expect(reader.metadata?.resourceVersion == "7" && reader.metadata?.continue == "more")
        }
    }

    @Test("two pages are none, in one chunk or in two", arguments: [true, false])
    func twoPages(areTogether: Bool) {
        let reader = Self.read(areTogether ? [Self.page + Self.page] : [Self.page, Self.page])
        #expect(reader.defect == .unexpected(UInt8(ascii: "{")))
        let isPage = reader.metadata != nil
        #expect(!isPage)
    }
}
