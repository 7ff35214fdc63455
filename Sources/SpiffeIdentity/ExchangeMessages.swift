import FoundationEssentials
import Text

/// A node's request to the signer: `POST /v1/exchange`, beside the pod-bound token in the Authorization header.
package struct ExchangeRequest: Codable, Sendable {
    /// A certificate signing request in DER, base64; absent: no X.509-SVID is asked for.
    package var csr: String?
    /// The audiences of a JWT-SVID; absent: none is asked for.
    package var audience: [String]?
    /// Whether the certificate is to name the metadata server, which the signer gives to agents alone.
    package var serving: Bool?
    /// The ID of the container that asked for the JWT-SVID, which the signer compares with the API server's.
    package var container: String?

    package static let path = "/v1/exchange"
    package static let bundlePath = "/v1/bundle"
    /// Audiences of one token, and the bytes of one.
    package static let audienceLimit = (count: 16, bytes: 1024)
    /// The bytes of a container's ID at most: runtimes give 64 digits, those of tests a name.
    package static let longestContainer = 128

    package init(
        csr: [UInt8]? = nil, audience: [String]? = nil, serving: Bool? = nil, container: String? = nil
    ) {
        self.csr = csr.map { Data($0).base64EncodedString() }
        self.audience = audience
        self.serving = serving
        self.container = container
    }

    package var csrBytes: [UInt8]? { csr.flatMap { Data(base64Encoded: $0) }.map { [UInt8]($0) } }
}

/// The signer's answer.
package struct ExchangeResponse: Codable, Sendable {
    package var spiffeID: String
    /// The X.509-SVID in DER, base64, the leaf first.
    package var chain: [String]?
    /// The JWT-SVID.
    package var token: String?

    package init(spiffeID: String, chain: [[UInt8]]? = nil, token: String? = nil) {
        self.spiffeID = spiffeID
        self.chain = chain?.map { Data($0).base64EncodedString() }
        self.token = token
    }

    package var chainBytes: [[UInt8]]? {
        guard let chain else { return nil }
        let certificates = chain.compactMap { Data(base64Encoded: $0).map { [UInt8]($0) } }
        return certificates.count == chain.count ? certificates : nil
    }
}

extension ExchangeRequest {
    package init?(parsing bytes: [UInt8]) {
        guard let request = try? JSONDecoder().decode(ExchangeRequest.self, from: Data(bytes)) else { return nil }
        self = request
    }

    package var bytes: [UInt8] { SortedJSON.bytes(of: self) }
}

extension ExchangeResponse {
    package init?(parsing bytes: [UInt8]) {
        guard let answer = try? JSONDecoder().decode(ExchangeResponse.self, from: Data(bytes)) else { return nil }
        self = answer
    }

    package var bytes: [UInt8] { SortedJSON.bytes(of: self) }
}
