import Crypto
import Foundation
import NIOCore
import NIOHTTP1

/// An Azure Blob Storage with one account, one container and one blob, for reading alone. Callers need a living access
/// token of the lab's Entra ID for storage.
package final class BlobStorageEmulator: Sendable {
    package static let account = "labaccount"
    package static let domain = "blob.lab.example"
    /// The name that SDKs make of the account's name and the domain of its endpoint.
    package static let host = "\(account).\(domain)"

    /// The callers whose tokens were accepted, once a request.
    package let callers = EventLog<EntraTokenRecord>()
    /// Requests that were refused.
    package let refusals = EventLog<String>()
    private let entra: EntraEmulator

    init(_ entra: EntraEmulator) {
        self.entra = entra
    }

    /// Answers one request, with the account in the host's name or at the start of the path.
    package func handle(_ request: LabRequest) async -> LabResponse {
        guard let token = request.bearerToken, let caller = entra.describe(token),
            caller.resource.hasPrefix("https://storage.azure.com"), let version = request.header("x-ms-version")
        else {
            refusals.record("\(request.method) \(request.target) \(request.headers)")
            let challenge =
                "Bearer authorization_uri=https://login.microsoftonline.com/\(AzureLab.tenant)/oauth2/authorize "
                + "resource_id=https://storage.azure.com"
            return Self.error(401, "InvalidAuthenticationInfo", [("WWW-Authenticate", challenge)])
        }
        callers.record(caller)
        var response = answer(request)
        response.headers += [("x-ms-version", version), ("x-ms-request-id", UUID().uuidString)]
        return response
    }

    private func answer(_ request: LabRequest) -> LabResponse {
        guard request.method == "GET" || request.method == "HEAD" else {
            return Self.error(405, "UnsupportedHttpVerb")
        }
        var parts = request.path.split(separator: "/").map(String.init)
        if parts.first == Self.account { parts.removeFirst() }
        guard parts.first == S3Emulator.bucket else {
            return parts.isEmpty ? accountAnswer(request) : Self.error(404, "ContainerNotFound")
        }
        if parts.count == 1 { return container(request) }
        guard parts == [S3Emulator.bucket, S3Emulator.objectName] else { return Self.error(404, "BlobNotFound") }
        return blob(request)
    }

    private func accountAnswer(_ request: LabRequest) -> LabResponse {
        let kind = [
            ("x-ms-sku-name", "Standard_LRS"), ("x-ms-account-kind", "StorageV2"), ("x-ms-is-hns-enabled", "false"),
        ]
        if request.query("comp") == "properties" { return LabResponse(status: 200, headers: kind) }
        return Self.xml(
            "<EnumerationResults><Containers><Container><Name>\(S3Emulator.bucket)</Name>"
                + "<Properties><Last-Modified>\(Self.date)</Last-Modified><Etag>\"0x1\"</Etag></Properties>"
                + "</Container></Containers><NextMarker /></EnumerationResults>")
    }

    private func container(_ request: LabRequest) -> LabResponse {
        // These belong to hierarchical namespaces, which this account does not have.
        if request.query("action") != nil || request.query("resource") != nil {
            return LabResponse(status: 400, headers: [("x-ms-error-code", "HierarchicalNamespaceNotEnabled")])
        }
        guard request.query("comp") == "list" else {
            return LabResponse(status: 200, headers: [("ETag", "\"0x1\""), ("Last-Modified", Self.date)])
        }
        let prefix = request.query("prefix") ?? ""
        let size = S3Emulator.content.utf8.count
        let blob =
            "<Blob><Name>\(S3Emulator.objectName)</Name><Properties><Creation-Time>\(Self.date)</Creation-Time>"
            + "<Last-Modified>\(Self.date)</Last-Modified><Etag>0x2</Etag><Content-Length>\(size)</Content-Length>"
            + "<Content-Type>text/plain</Content-Type><Content-MD5>\(Self.digest)</Content-MD5>"
            + "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><ServerEncrypted>true</ServerEncrypted>"
            + "</Properties></Blob>"
        return Self.xml(
            "<EnumerationResults ServiceEndpoint=\"https://\(Self.host)/\" ContainerName=\"\(S3Emulator.bucket)\">"
                + "<Prefix>\(prefix)</Prefix><Blobs>\(S3Emulator.objectName.hasPrefix(prefix) ? blob : "")</Blobs>"
                + "<NextMarker /></EnumerationResults>")
    }

    private func blob(_ request: LabRequest) -> LabResponse {
        var headers = [
            ("Content-Type", "text/plain"), ("ETag", "\"0x2\""), ("Last-Modified", Self.date),
            ("Accept-Ranges", "bytes"), ("x-ms-blob-type", "BlockBlob"), ("x-ms-creation-time", Self.date),
            ("x-ms-server-encrypted", "true"),
        ]
        let content = Data(S3Emulator.content.utf8)
        let range = request.header("x-ms-range") ?? request.header("Range")
        guard let range, let part = S3Emulator.part(range, of: content.count) else {
            return LabResponse(
                status: 200, headers: headers + [("Content-MD5", Self.digest)], body: .bytes(ByteBuffer(bytes: content))
            )
        }
        headers.append(("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(content.count)"))
        return LabResponse(status: 206, headers: headers, body: .bytes(ByteBuffer(bytes: content[part])))
    }

    private static let date = "Thu, 01 Jan 2026 00:00:00 GMT"
    private static let digest = Data(Insecure.MD5.hash(data: Data(S3Emulator.content.utf8))).base64EncodedString()

    private static func xml(_ text: String) -> LabResponse {
        .text(200, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\(text)", contentType: "application/xml")
    }

    private static func error(
        _ status: Int, _ code: String, _ headers: [(name: String, value: String)] = []
    ) -> LabResponse {
        .text(
            status,
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>\(code)</Code><Message>\(code)</Message></Error>",
            contentType: "application/xml", headers: headers + [("x-ms-error-code", code)])
    }
}
