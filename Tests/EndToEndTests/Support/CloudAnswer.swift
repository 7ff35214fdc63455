import AgentTesting
import Foundation
import Lab
import Testing

/// The address of the instance metadata services.
enum MetadataHost: String {
    case ipv4 = "169.254.169.254"
    case ipv6 = "[fd00:ec2::254]"
    case container = "169.254.170.2"
    case podIdentity = "169.254.170.23"
    case podIdentity6 = "[fd00:ec2::23]"
}

extension RunningPod {
    /// Sends one request of another cloud's protocol to the metadata address, with nothing added to it.
    func request(
        _ method: String = "GET", _ path: String, _ headers: [String] = [], host: MetadataHost = .ipv4
    ) async throws -> MetadataResponse {
        var command = [
            "curl", "-sS", "--include", "--globoff", "--path-as-is", "--max-time", "10", "-w", "\n%{time_total}",
        ]
        command += method == "HEAD" ? ["--head"] : ["-X", method]
        for header in headers { command += ["-H", header] }
        let result = try await start(command + ["http://\(host.rawValue)\(path)"]).result()
        guard result.succeeded else { throw LabError("curl ended with \(result.status): \(result.errorOutput)") }
        return try MetadataResponse(curl: result.output)
    }

    /// A session token of AWS's protocol.
    func sessionToken(seconds: Int = 21_600, host: MetadataHost = .ipv4) async throws -> String {
        let answer = try await request(
            "PUT", "/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: \(seconds)"], host: host)
        guard answer.status == 200 else { throw LabError("no session token: \(answer.status) \(answer.body)") }
        return answer.body
    }

    /// Asks AWS's protocol for a path, with a session token of the pod's own.
    func aws(_ path: String, host: MetadataHost = .ipv4) async throws -> MetadataResponse {
        try await request("GET", path, ["X-aws-ec2-metadata-token: \(try await sessionToken(host: host))"], host: host)
    }
}

/// The credential document of AWS's instance metadata service, every member of it.
struct AWSCredentials: Decodable {
    var code: String?
    var lastUpdated: String?
    var type: String?
    var accessKeyID: String
    var secretAccessKey: String
    var token: String
    var expiration: String
    var accountID: String?

    enum CodingKeys: String, CodingKey {
        case code = "Code"
        case lastUpdated = "LastUpdated"
        case type = "Type"
        case accessKeyID = "AccessKeyId"
        case secretAccessKey = "SecretAccessKey"
        case token = "Token"
        case expiration = "Expiration"
        case accountID = "AccountId"
    }

    init(_ answer: MetadataResponse) throws {
        guard answer.status == 200 else { throw LabError("no credentials: \(answer.status) \(answer.body)") }
        self = try JSONDecoder().decode(AWSCredentials.self, from: Data(answer.body.utf8))
    }

    /// Seconds until `Expiration`, which has the one form that every SDK reads.
    var remaining: TimeInterval? {
        guard expiration.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/) != nil,
            let date = try? Date(expiration, strategy: .iso8601)
        else { return nil }
        return date.timeIntervalSinceNow
    }
}
