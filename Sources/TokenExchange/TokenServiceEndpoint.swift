import FoundationEssentials
import NIOSSL
package import UpstreamHTTP

/// Checks of what is configured about a cloud's token service, the same for every cloud.
package enum TokenServiceEndpoint {
    /// The host of a configured URL, which `option` names.
    package static func host(of text: String, option: String) throws(TokenExchangeError) -> String {
        guard let url = URL(string: text), url.scheme == "https", let host = url.host(), !host.isEmpty,
            url.user() == nil, url.query() == nil, url.fragment() == nil, text.last != "/"
        else {
            throw TokenExchangeError(
                option: option, problem: "must be an https URL without user, query, fragment and slash at the end"
            )
        }
        return host
    }

    /// Makes a client's options: TLS 1.2 at least, with the system's authorities or those of the PEM file at `trustRootsPath`.
    package static func options(
        callTimeout: Duration, trustRootsPath: String?
    ) throws(TokenExchangeError) -> UpstreamHTTPClient.Options {
        var options = UpstreamHTTPClient.Options()
        options.callTimeout = callTimeout
        options.tlsConfiguration.minimumTLSVersion = .tlsv12
        if let path = trustRootsPath {
            options.tlsConfiguration.trustRoots = .certificates(try trustRoots(path))
        }
        return options
    }

    private static func trustRoots(_ path: String) throws(TokenExchangeError) -> [NIOSSLCertificate] {
        guard let certificates = try? NIOSSLCertificate.fromPEMFile(path), !certificates.isEmpty else {
            throw TokenExchangeError(option: "trust roots", problem: "\(path) holds no readable PEM certificate")
        }
        return certificates
    }
}
