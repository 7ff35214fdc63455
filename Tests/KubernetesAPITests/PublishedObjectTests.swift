import Testing

@testable import KubernetesAPI

/// The names of objects that the signer publishes.
@Suite struct PublishedObjectTests {
    @Test("a ClusterTrustBundle's name may have 253 bytes, however many more its path has")
    func names() {
        func bundle(_ suffix: String) -> PublishedObject? {
            PublishedObject.clusterTrustBundle(of: "example.com/s", named: suffix, pem: "", .v1)
        }
        let longest = String(repeating: "a.", count: 119) + "a"
        #expect(bundle(longest)?.name.utf8.count == 253)
        #expect(bundle(longest + "a") == nil)
        #expect(bundle("A") == nil && bundle("") == nil)
    }
}
