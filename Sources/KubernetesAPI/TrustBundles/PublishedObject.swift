import Attribution
import NIOHTTP1
import Text
package import Tokens
import UpstreamHTTP

/// An object whose texts the signer keeps as they should be: a ClusterTrustBundle or a ConfigMap.
package struct PublishedObject: Sendable, Hashable {
    /// The texts beside which an object may have others, which are left alone.
    package let values: [String: String]
    package let kind: String
    package let name: String
    let apiVersion: String
    let namespace: String?
    /// The collection that the object lies in.
    let collection: String
    /// The object's own path, below its collection.
    let path: String

    /// A signer's bundle; its name begins with the signer's, as the API server asks.
    ///
    /// - Returns: `nil` if the API takes no object of that name.
    package static func clusterTrustBundle(
        of signer: String, named suffix: String, pem: String, _ version: PodCertificateVersion
    ) -> PublishedObject? {
        let name = PodCertificateSignerName.resource(signer) + ":" + suffix
        guard suffix.isDNSSubdomain, name.utf8.count <= 253, let segment = PercentEncoding.segment(name) else {
            return nil
        }
        let collection = "/apis/\(version.groupVersion)/clustertrustbundles"
        return PublishedObject(
            values: ["signerName": signer, "trustBundle": pem], kind: "ClusterTrustBundle", name: name,
            apiVersion: version.groupVersion, namespace: nil,
            collection: collection, path: collection + "/" + segment)
    }

    /// A ConfigMap with these texts; `nil` if the API takes none of that name.
    package static func configMap(
        _ name: String, in namespace: String, _ values: [String: String]
    ) -> PublishedObject? {
        guard name.isDNSSubdomain, namespace.isDNSLabel else { return nil }
        let collection = "/api/v1/namespaces/\(namespace)/configmaps"
        return PublishedObject(
            values: values, kind: "ConfigMap", name: name, apiVersion: "v1", namespace: namespace,
            collection: collection, path: collection + "/" + name)
    }
}

extension KubernetesClient {
    /// The bytes of an object that are read at most, far above any bundle: other texts of a ConfigMap may be long.
    private static let objectBytes = 4 << 20

    /// Creates an object, or changes the texts of it that are others. The caller needs the rights to get, create and patch it.
    ///
    /// - Returns: Whether something was written.
    package func publish(_ object: PublishedObject) async throws(UpstreamFailure) -> Bool {
        let found: Wire?
        do throws(UpstreamFailure) {
            let answer = try await send(.GET, object.path) { $0.bodyLimit = Self.objectBytes }
            found = ProjectedJSON.decode(Wire.self, from: answer.body)
            guard found != nil else { throw .unusable(answer, "the answer is no \(object.kind)") }
        } catch  where error.status == 404 {
            _ = try await send(.POST, object.collection, body: SortedJSON.bytes(of: Wire(creating: object)))
            return true
        }
        let texts = (object.namespace == nil ? found?.spec : found?.data) ?? [:]
        guard object.values.contains(where: { texts[$0.key] != $0.value }) else { return false }
        let change = Wire(changing: object, from: found?.metadata.resourceVersion)
        _ = try await send(.PATCH, object.path, body: SortedJSON.bytes(of: change)) {
            $0.headers.replaceOrAdd(name: "content-type", value: "application/merge-patch+json")
        }
        return true
    }

    /// The object as it is sent: a ClusterTrustBundle has a `spec`, a ConfigMap `data`.
    private struct Wire: Codable {
        var apiVersion: String?
        var kind: String?
        var metadata: Metadata
        var spec: [String: String]?
        var data: [String: String]?

        struct Metadata: Codable {
            var name: String?
            var namespace: String?
            var resourceVersion: String?
        }

        init(creating object: PublishedObject) {
            self.init(changing: object, from: nil)
            apiVersion = object.apiVersion
            kind = object.kind
            metadata = Metadata(name: object.name, namespace: object.namespace)
        }

        /// The change of an object that is still as it was read.
        init(changing object: PublishedObject, from resourceVersion: String?) {
            metadata = Metadata(resourceVersion: resourceVersion)
            if object.namespace == nil { spec = object.values } else { data = object.values }
        }
    }
}
