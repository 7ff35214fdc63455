import Foundation
import NIOCore
import NIOHTTP1
import Testing

@testable import Lab

/// The token service and IAM Credentials without a network.
private struct TestCloud {
    let api: TestAPI
    let ledger = LabTokenLedger()
    let sts: SecurityTokenServiceEmulator
    let iam: IAMCredentialsEmulator
    static let account = "gsa@p.iam.gserviceaccount.com"

    init() throws {
        api = try TestAPI()
        api.emulator.allowAudience("*")
        sts = SecurityTokenServiceEmulator(ledger: ledger, clock: api.emulator.clock)
        iam = IAMCredentialsEmulator(
            ledger: ledger,
            signingKey: try Shared.keys.get().google,
            clock: api.emulator.clock
        )
        sts.setProvider(WorkloadIdentityProvider(name: wif, issuer: apiAudience, keys: api.emulator.keySet))
    }

    func fields(_ token: String) -> [String: String] {
        [
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": token, "audience": wif, "scope": "https://www.googleapis.com/auth/cloud-platform",
        ]
    }

    func exchange(_ fields: [String: String], headers: HTTPHeaders = [:]) async -> Answer {
        let body = fields.map { name, value in
            "\(name)=\(value.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")"
        }
        var headers = headers
        headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
        let request = LabRequest(
            method: "POST",
            target: "/v1/token",
            headers: headers,
            body: ByteBuffer(string: body.joined(separator: "&"))
        )
        return Answer(await sts.handle(request))
    }

    func federated(scope: String? = nil) async -> String {
        var fields = fields(await api.mint(audiences: [wif]).token)
        if let scope { fields["scope"] = scope }
        return await exchange(fields).json["access_token"]?.string ?? ""
    }

    func impersonate(_ token: String, _ method: String, _ body: String, as account: String = account) async -> Answer {
        let request = LabRequest(
            method: "POST",
            target: "/v1/projects/-/serviceAccounts/\(account):\(method)",
            headers: ["Authorization": "Bearer \(token)", "Content-Type": "application/json"],
            body: ByteBuffer(string: body)
        )
        return Answer(await iam.handle(request))
    }
}

@Suite struct SecurityTokenServiceTests {
    @Test(arguments: [wif, "https:" + wif])
    func exchangesAPodsTokenAndRemembersThePod(audience: String) async throws {
        let cloud = try TestCloud()
        let answer = await cloud.exchange(cloud.fields(await cloud.api.mint(audiences: [audience]).token))
        #expect(answer.status == 200)
        #expect(answer.json["token_type"]?.string == "Bearer")
        #expect(answer.json["issued_token_type"]?.string == "urn:ietf:params:oauth:token-type:access_token")
        let seconds = try #require(answer.json["expires_in"]?.integer)
        #expect((3590...3600).contains(seconds))
        let token = try #require(answer.json["access_token"]?.string)
        #expect(JSONWebToken(token) == nil)
        let record = try #require(cloud.ledger.describe(token))
        #expect(record.subject.podUID == "p-app")
        #expect(record.subject.node == "node-a")
        #expect(cloud.sts.log.events.map(\.subject.podName) == ["app-a"])
    }

    @Test func capsTheLifetimeToTheSubjectTokens() async throws {
        let cloud = try TestCloud()
        let token = await cloud.api.mint(audiences: [wif], seconds: "900").token
        let seconds = await cloud.exchange(cloud.fields(token)).json["expires_in"]?.integer
        #expect((890...900).contains(seconds ?? 0))
    }

    @Test func takesJSONWithCamelCaseNames() async throws {
        let cloud = try TestCloud()
        let body: JSON = [
            "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
            "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
            "subjectToken": .string(await cloud.api.mint(audiences: [wif]).token), "audience": .string(wif),
            "scope": "a",
        ]
        let request = LabRequest(
            method: "POST",
            target: "/v1/token",
            headers: ["Content-Type": "application/json"],
            body: ByteBuffer(string: body.text)
        )
        #expect(await cloud.sts.handle(request).status == 200)
    }

    struct Case: CustomTestStringConvertible, Sendable {
        var field: String
        var value: String?
        var error: String
        var text: String
        var testDescription: String { "\(field)=\(value ?? "nil") -> \(error)" }
    }

    @Test(arguments: [
        Case(field: "scope", value: nil, error: "invalid_request", text: "scope"),
        Case(field: "grant_type", value: "x", error: "unsupported_grant_type", text: "grant_type"),
        Case(field: "subject_token_type", value: "x", error: "invalid_request", text: "subject_token_type"),
        Case(field: "subject_token", value: nil, error: "invalid_request", text: "subject_token"),
        Case(field: "subject_token", value: "x.y.z", error: "invalid_grant", text: "not a valid"),
        Case(field: "audience", value: "p/k", error: "invalid_request", text: "full resource name"),
        Case(field: "audience", value: wif + "2", error: "invalid_target", text: "disabled or deleted"),
    ])
    func refusesBadRequests(_ test: Case) async throws {
        let cloud = try TestCloud()
        var fields = cloud.fields(await cloud.api.mint(audiences: [wif]).token)
        fields[test.field] = test.value
        let answer = await cloud.exchange(fields)
        #expect(answer.status == 400)
        #expect(answer.json["error"]?.string == test.error)
        #expect(answer.json["error_description"]?.string?.contains(test.text) == true)
    }

    @Test func refusesAnAuthorizationHeader() async throws {
        let cloud = try TestCloud()
        let fields = cloud.fields(await cloud.api.mint(audiences: [wif]).token)
        #expect(await cloud.exchange(fields, headers: ["Authorization": "Bearer x"]).status == 400)
        #expect(await cloud.exchange(fields).status == 200)
    }

    @Test func refusesTokensThatAreForgedMeantForOthersOrStale() async throws {
        let cloud = try TestCloud()
        let token = await cloud.api.mint(audiences: [wif]).token
        let claims = try #require(JSONWebToken(token)?.claims)
        let key = cloud.api.emulator.signingKey
        let foreign = try Shared.keys.get().google
        let forgeries = [
            try foreign.sign(claims), try foreign.sign(claims, keyID: key.keyID),
            try key.sign(claims, algorithm: "none"),
            await cloud.api.mint(audiences: ["elsewhere"]).token,
        ]
        for forgery in forgeries {
            #expect(await cloud.exchange(cloud.fields(forgery)).json["error"]?.string == "invalid_grant")
        }
        cloud.api.emulator.clock.advance(by: .seconds(3601))
        let issued = claims["iat"]?.integer ?? 0
        #expect(
            await cloud.exchange(cloud.fields(token)).text
                == #"{"error":"invalid_grant","error_description":"ID Token issued at \#(issued) is stale to sign-in."}"#
        )
    }

    @Test func refusesTokensThatAreBoundToNoPod() async throws {
        let cloud = try TestCloud()
        let token = await cloud.api.mint(audiences: [wif]).token
        var members = try #require(JSONWebToken(token)?.claims.members)
        members.removeAll { $0.name == "kubernetes.io" }
        let unbound = try cloud.api.emulator.signingKey.sign(.object(members))
        #expect(await cloud.exchange(cloud.fields(unbound)).json["error"]?.string == "unauthorized_client")
    }

    @Test func obeysTheProvidersConditionAndState() async throws {
        let cloud = try TestCloud()
        let fields = cloud.fields(await cloud.api.mint(audiences: [wif]).token)
        cloud.sts.updateProvider(wif) { $0.condition = { $0.namespace != "team-a" } }
        #expect(await cloud.exchange(fields).json["error"]?.string == "unauthorized_client")
        cloud.sts.updateProvider(wif) { $0.isEnabled = false }
        #expect(await cloud.exchange(fields).json["error"]?.string == "invalid_target")
    }

    @Test func fleetPoolsExpectThePoolsName() async throws {
        let cloud = try TestCloud()
        let name = "identitynamespace:p.svc.id.goog:https://gkehub.googleapis.com/projects/p/locations/l/memberships/m"
        cloud.sts.setProvider(
            WorkloadIdentityProvider(name: name, issuer: apiAudience, keys: cloud.api.emulator.keySet)
        )
        var fields = cloud.fields(await cloud.api.mint(audiences: ["p.svc.id.goog"]).token)
        fields["audience"] = name
        #expect(await cloud.exchange(fields).status == 200)
    }
}

@Suite struct IAMCredentialsTests {
    private static let request =
        #"{"scope":["https://www.googleapis.com/auth/devstorage.read_only"],"lifetime":"3600s"}"#

    @Test func mintsAnAccessTokenForABoundSubject() async throws {
        let cloud = try TestCloud()
        cloud.iam.allowImpersonation(of: TestCloud.account, by: .serviceAccount(namespace: "team-a", name: "app"))
        let answer = await cloud.impersonate(await cloud.federated(), "generateAccessToken", Self.request)
        #expect(answer.status == 200)
        let record = try #require(cloud.ledger.describe(answer.json["accessToken"]?.string ?? ""))
        #expect(record.account == TestCloud.account)
        #expect(record.subject.podUID == "p-app")
        #expect(record.scopes == ["https://www.googleapis.com/auth/devstorage.read_only"])
        #expect(answer.json["expireTime"]?.string == Timestamp.rfc3339(record.expires))
    }

    @Test func refusesASubjectWithoutTheRoleByteForByte() async throws {
        let cloud = try TestCloud()
        cloud.iam.createAccount(TestCloud.account)
        let token = await cloud.federated()
        let answer = await cloud.impersonate(token, "generateAccessToken", Self.request)
        #expect(answer.status == 403)
        #expect(
            answer.text
                == #"{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.getAccessToken' denied on "#
                + #"resource (or it may not exist).","status":"PERMISSION_DENIED","details":[{"@type":"#
                + #""type.googleapis.com/google.rpc.ErrorInfo","reason":"IAM_PERMISSION_DENIED","#
                + #""domain":"iam.googleapis.com","metadata":{"permission":"iam.serviceAccounts.getAccessToken"}}]}}"#
        )
        cloud.iam.allowImpersonation(of: TestCloud.account, by: .subject("system:serviceaccount:team-a:app"))
        #expect(await cloud.impersonate(token, "generateAccessToken", Self.request).status == 200)
    }

    @Test func refusesMissingAccountsBadNamesAndBadRequests() async throws {
        let cloud = try TestCloud()
        cloud.iam.allowImpersonation(of: TestCloud.account, by: .serviceAccount(namespace: "team-a", name: "app"))
        let token = await cloud.federated()
        let missing = await cloud.impersonate(token, "generateAccessToken", Self.request, as: "x@p")
        #expect(missing.status == 404)
        #expect(missing.json["error"]?["message"]?.string == "Not found; Gaia id not found for email x@p")
        let malformed = await cloud.impersonate(token, "generateAccessToken", Self.request, as: "pool")
        #expect(malformed.status == 400)
        #expect(
            malformed.json["error"]?["message"]?.string
                == "Invalid form of account ID pool. Should be [Gaia ID |Email |Unique ID |] of the account"
        )
        #expect(await cloud.impersonate(token, "generateAccessToken", #"{"scope":[]}"#).status == 400)
        #expect(
            await cloud.impersonate(token, "generateAccessToken", #"{"scope":["a"],"lifetime":"3601s"}"#).status == 400)
        #expect(await cloud.impersonate(token, "generateIdToken", "{}").status == 400)
    }

    @Test func refusesTokensThatAreNotLivingFederatedTokens() async throws {
        let cloud = try TestCloud()
        cloud.iam.allowImpersonation(of: TestCloud.account, by: .serviceAccount(namespace: "team-a", name: "app"))
        let token = await cloud.federated()
        let access = await cloud.impersonate(token, "generateAccessToken", Self.request).json["accessToken"]?.string
        for bad in ["garbage", access ?? "", await cloud.api.mint().token] {
            #expect(await cloud.impersonate(bad, "generateAccessToken", Self.request).status == 401)
        }
        let narrow = await cloud.federated(scope: "https://www.googleapis.com/auth/devstorage.read_only")
        #expect(await cloud.impersonate(narrow, "generateAccessToken", Self.request).status == 403)
        cloud.api.emulator.clock.advance(by: .seconds(3601))
        #expect(await cloud.impersonate(token, "generateAccessToken", Self.request).status == 401)
    }

    @Test func mintsASignedIdentityToken() async throws {
        let cloud = try TestCloud()
        cloud.iam.allowImpersonation(of: TestCloud.account, by: .serviceAccount(namespace: "team-a", name: "app"))
        let body = #"{"audience":"https://x","includeEmail":true}"#
        let answer = await cloud.impersonate(await cloud.federated(), "generateIdToken", body)
        let text = try #require(answer.json["token"]?.string)
        let token = try #require(JSONWebToken(text))
        #expect(token.isSigned(by: try Shared.keys.get().google.publicKey))
        #expect(token.claims["aud"]?.string == "https://x")
        #expect(token.claims["email"]?.string == TestCloud.account)
        #expect(token.claims["iss"]?.string == "https://accounts.google.com")
        #expect(cloud.ledger.describe(text)?.kind == .identity(audience: "https://x"))
    }

    @Test func aDisabledAPISaysSo() async throws {
        let cloud = try TestCloud()
        cloud.iam.setEnabled(false)
        let answer = await cloud.impersonate(await cloud.federated(), "generateAccessToken", Self.request)
        #expect(answer.status == 403)
        #expect(answer.json["error"]?["details"]?.array?.first?["reason"]?.string == "SERVICE_DISABLED")
    }
}
