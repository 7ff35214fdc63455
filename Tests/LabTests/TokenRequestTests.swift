import Foundation
import Synchronization
import Testing

@testable import Lab

@Suite struct TokenRequestTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var name: String
        var serviceAccount = "app"
        var pod = "app-a"
        var uid = "p-app"
        var audiences: [String]?
        var namespace = "team-a"
        var status: Int
        var message: String
        var testDescription: String { name }
    }

    private static let notRelated =
        "cannot create resource \"serviceaccounts/token\" in API group \"\" in the namespace \"team-a\": "
        + "no relationship found between node 'node-a' and this object"

    static let refusals: [Case] = [
        Case(
            name: "two audiences",
            audiences: [wif, "x"],
            status: 403,
            message: "serviceaccounts \"app\" is forbidden: node may only request 0 or 1 audiences"
        ),
        Case(
            name: "API audience spelled out",
            audiences: [apiAudience],
            status: 403,
            message: "serviceaccounts \"app\" is forbidden: audience \"\(apiAudience)\" not found in pod spec volume, "
                + "system:node:node-a is not authorized to request tokens for this audience"
        ),
        Case(
            name: "automount false, default audience",
            serviceAccount: "noauto",
            pod: "noauto-a",
            uid: "p-noauto",
            status: 403,
            message: "serviceaccounts \"noauto\" is forbidden: audience \"\" not found in pod spec volume, "
                + "system:node:node-a is not authorized to request tokens for this audience"
        ),
        Case(
            name: "ServiceAccount used only on another node",
            serviceAccount: "only-b",
            pod: "only-nb",
            uid: "p-ob",
            status: 403,
            message: "serviceaccounts \"only-b\" is forbidden: User \"system:node:node-a\" \(notRelated)"
        ),
        Case(
            name: "ServiceAccount that does not exist",
            serviceAccount: "nosuch",
            status: 403,
            message: "serviceaccounts \"nosuch\" is forbidden: User \"system:node:node-a\" \(notRelated)"
        ),
        Case(
            name: "pod on another node",
            pod: "app-nb",
            uid: "p-nb",
            status: 403,
            message: "serviceaccounts \"app\" is forbidden: "
                + "node requested token bound to a pod scheduled on a different node"
        ),
        Case(
            name: "unscheduled pod",
            pod: "loose",
            uid: "p-loose",
            status: 403,
            message: "serviceaccounts \"app\" is forbidden: "
                + "node requested token bound to a pod scheduled on a different node"
        ),
        Case(
            name: "wrong pod UID",
            uid: "0000",
            status: 403,
            message:
                "serviceaccounts \"app\" is forbidden: the UID in the bound object reference (0000) does not match "
                + "the UID in record. The object might have been deleted and then recreated"
        ),
        Case(
            name: "no pod UID",
            uid: "",
            status: 403,
            message: "serviceaccounts \"app\" is forbidden: node requested token with a pod binding without a uid"
        ),
        Case(
            name: "no pod name",
            pod: "",
            status: 403,
            message: "serviceaccounts \"app\" is forbidden: node requested token not bound to a pod"
        ),
        Case(
            name: "pod with another ServiceAccount",
            serviceAccount: "other",
            status: 400,
            message: "cannot bind token for serviceaccount \"other\" to pod running with different serviceaccount name."
        ),
        Case(name: "missing pod", pod: "nosuch", status: 404, message: "pod \"nosuch\" not found"),
    ]

    @Test(arguments: refusals)
    func refuses(_ test: Case) async throws {
        let answer = try await TestAPI().mint(
            test.serviceAccount,
            pod: test.pod,
            uid: test.uid,
            audiences: test.audiences,
            namespace: test.namespace
        )
        #expect(answer.status == test.status)
        #expect(answer.message == test.message)
    }

    @Test func refusesAnUnnamedAudienceByteForByte() async throws {
        let answer = try await TestAPI().mint(audiences: [wif])
        #expect(
            answer.text == #"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"#
                + #""serviceaccounts \"app\" is forbidden: audience \"\#(wif)\" not found in pod spec volume, "#
                + #"system:node:node-a is not authorized to request tokens for this audience","reason":"Forbidden","#
                + #""details":{"name":"app","kind":"serviceaccounts"},"code":403}"# + "\n"
        )
        #expect(answer.headers["Cache-Control"] == "no-cache, private")
    }

    @Test func mintsAPodBoundTokenForTheDefaultAudience() async throws {
        let api = try TestAPI()
        let answer = await api.mint()
        #expect(answer.status == 201)
        #expect(answer.json["spec"]?["audiences"]?.strings == [apiAudience])
        #expect(answer.json["metadata"]?["uid"]?.string == "uid-app")
        let claims = answer.claims
        #expect(claims["sub"]?.string == "system:serviceaccount:team-a:app")
        #expect(
            claims["kubernetes.io"] == [
                "namespace": "team-a", "node": ["name": "node-a", "uid": "uid-node-a"],
                "pod": ["name": "app-a", "uid": "p-app"], "serviceaccount": ["name": "app", "uid": "uid-app"],
            ]
        )
        #expect((claims["exp"]?.integer ?? 0) - (claims["iat"]?.integer ?? 0) == 3600)
        let token = try #require(JSONWebToken(answer.token))
        #expect(token.isSigned(by: api.emulator.signingKey.publicKey))
        #expect(token.header == ["alg": "RS256", "kid": .string(api.emulator.signingKey.keyID)])
    }

    @Test func mintsForAnAudienceThatAVolumeNames() async throws {
        let api = try TestAPI()
        let uid = api.emulator.createPod(
            namespace: "team-a",
            name: "wif",
            serviceAccount: "app",
            node: "node-a",
            audiences: [wif]
        )
        #expect(await api.mint(pod: "wif", uid: uid, audiences: [wif]).claims["aud"]?.strings == [wif])
        #expect(await api.mint(pod: "wif", uid: uid, audiences: [""]).claims["aud"]?.strings == [""])
    }

    struct Rule: CustomTestStringConvertible, Sendable {
        var name: String
        var audience: String?
        var namespace: String?
        var serviceAccounts: Set<String>?
        /// app/WIF, app/other, app/API, other/WIF, team-b app/WIF, noauto/WIF, noauto/default.
        var expected: [Int]
        var testDescription: String { name }
    }

    @Test(arguments: [
        Rule(name: "none", expected: [403, 403, 403, 403, 403, 403, 403]),
        Rule(name: "ClusterRole", audience: wif, expected: [201, 403, 403, 201, 201, 201, 403]),
        Rule(
            name: "ClusterRole, names",
            audience: wif,
            serviceAccounts: ["app"],
            expected: [201, 403, 403, 403, 201, 403, 403]
        ),
        Rule(
            name: "Role, names",
            audience: wif,
            namespace: "team-a",
            serviceAccounts: ["app"],
            expected: [201, 403, 403, 403, 403, 403, 403]
        ),
        Rule(name: "ClusterRole *", audience: "*", expected: [201, 201, 201, 201, 201, 201, 201]),
        Rule(name: "ClusterRole empty", audience: "", expected: [403, 403, 403, 403, 403, 403, 201]),
    ])
    func restrictsAudiences(_ rule: Rule) async throws {
        let api = try TestAPI()
        if let audience = rule.audience {
            api.emulator.allowAudience(
                audience,
                namespace: rule.namespace,
                serviceAccounts: rule.serviceAccounts
            )
        }
        let answers = [
            await api.mint(audiences: [wif]), await api.mint(audiences: ["other"]),
            await api.mint(audiences: [apiAudience]),
            await api.mint("other", pod: "other-a", uid: "p-other", audiences: [wif]),
            await api.mint(pod: "app-b", uid: "p-b", audiences: [wif], namespace: "team-b"),
            await api.mint("noauto", pod: "noauto-a", uid: "p-noauto", audiences: [wif]),
            await api.mint("noauto", pod: "noauto-a", uid: "p-noauto"),
        ]
        #expect(answers.map(\.status) == rule.expected)
        #expect(await api.mint(audiences: [wif, "x"]).status == 403)
    }

    @Test func grantsAnAudienceToOneNodeOnlyAndTakesItBack() async throws {
        let api = try TestAPI()
        api.emulator.allowAudience(wif, node: "node-b")
        #expect(await api.mint(audiences: [wif]).status == 403)
        #expect(await api.mint(pod: "app-nb", uid: "p-nb", audiences: [wif], token: api.nodeB).status == 201)
        api.emulator.revokeAudience(wif)
        #expect(await api.mint(pod: "app-nb", uid: "p-nb", audiences: [wif], token: api.nodeB).status == 403)
    }

    @Test func withTheGateOffAnyAudienceIsMinted() async throws {
        let api = try TestAPI { $0.restrictsNodeAudiences = false }
        #expect(await api.mint(audiences: [wif, "x"]).status == 201)
        #expect(await api.mint("noauto", pod: "noauto-a", uid: "p-noauto").status == 201)
        #expect(await api.mint(pod: "app-nb", uid: "p-nb").status == 403)
    }

    @Test(arguments: [
        ("599", 422, "may not specify a duration less than 10 minutes"),
        ("0", 422, "may not specify a duration less than 10 minutes"),
        ("4294967297", 422, "may not specify a duration larger than 2^32 seconds"),
        ("4294967296", 201, ""), ("600", 201, ""), ("null", 201, ""),
        ("\"3600\"", 400, "json: cannot unmarshal string into Go struct field"),
        ("3600.5", 400, "json: cannot unmarshal number 3600.5 into Go struct field"),
    ])
    func checksExpirationSeconds(seconds: String, status: Int, message: String) async throws {
        let answer = try await TestAPI().mint(seconds: seconds)
        #expect(answer.status == status)
        #expect(message.isEmpty || answer.message.contains(message))
    }

    @Test func aShortDurationIsRefusedByteForByte() async throws {
        let answer = try await TestAPI().mint(seconds: "599")
        let why = "Invalid value: 599: may not specify a duration less than 10 minutes"
        #expect(
            answer.text == #"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"#
                + #""TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: \#(why)","#
                + #""reason":"Invalid","details":{"group":"authentication.k8s.io","kind":"TokenRequest","causes":"#
                + #"[{"reason":"FieldValueInvalid","message":"\#(why)","field":"spec.expirationSeconds"}]},"code":422}"#
                + "\n"
        )
    }

    @Test(arguments: [(3607, 31_536_000), (3606, 3606), (3608, 3608)])
    func extendsExactly3607(asked: Int, lives: Int64) async throws {
        let claims = try await TestAPI().mint(seconds: "\(asked)").claims
        let issued = claims["iat"]?.integer ?? 0
        #expect((claims["exp"]?.integer ?? 0) - issued == lives)
        #expect(claims["kubernetes.io"]?["warnafter"]?.integer == (asked == 3607 ? issued + 3607 : nil))
    }

    @Test func shortensToTheMaximumWithAWarning() async throws {
        let answer = try await TestAPI { $0.maximumTokenSeconds = 7200 }.mint(seconds: "86400")
        #expect(answer.json["spec"]?["expirationSeconds"]?.integer == 7200)
        #expect(
            answer.headers["Warning"] == "299 - \"requested expiration of 86400 seconds shortened to 7200 seconds\""
        )
    }

    @Test func pinsTheServiceAccountUID() async throws {
        let api = try TestAPI()
        #expect(await api.mint(metadata: #"{"uid":"uid-app"}"#).status == 201)
        let answer = await api.mint(metadata: #"{"uid":"0000"}"#)
        #expect(answer.status == 409)
        #expect(
            answer.message == "Operation cannot be fulfilled on TokenRequest.authentication.k8s.io \"app\": the UID in "
                + "the token request (0000) does not match the UID of the service account (uid-app)"
        )
        #expect(answer.json["details"]?["group"]?.string == "authentication.k8s.io")
        #expect(await api.mint(metadata: #"{"name":"x"}"#).status == 422)
    }

    @Test func answersForADeletedServiceAccountAndDeletedPods() async throws {
        let api = try TestAPI()
        api.emulator.deletePod(namespace: "team-a", name: "app-a")
        #expect(await api.mint().status == 201, "a terminating pod still gets tokens")
        api.emulator.finishDeletion(namespace: "team-a", name: "app-a")
        #expect(
            await api.mint().message
                == "serviceaccounts \"app\" is forbidden: User \"system:node:node-a\" \(Self.notRelated)")
        api.emulator.deleteServiceAccount(namespace: "team-a", name: "other")
        let answer = await api.mint("other", pod: "other-a", uid: "p-other")
        #expect(answer.status == 404)
        #expect(answer.message == "serviceaccounts \"other\" not found")
    }

    @Test func finishedPodsStillGetTokens() async throws {
        let api = try TestAPI()
        api.emulator.updatePod(namespace: "team-a", name: "app-a") { $0.phase = "Succeeded" }
        #expect(await api.mint().status == 201)
    }

    @Test func rejectsBodiesThatAreNotTokenRequests() async throws {
        let api = try TestAPI()
        let path = "/api/v1/namespaces/team-a/serviceaccounts/app/token"
        let answer = await api.send("POST", path, body: "nope")
        #expect(answer.status == 400)
        #expect(
            answer.message.hasPrefix(
                "the object provided is unrecognized (must be of type TokenRequest): couldn't get version/kind; "
                    + "json parse error: "
            )
        )
        let unknown = await api.send(
            "POST",
            path,
            body:
                #"{"spec":{"audience":"x","boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"app-a","uid":"p-app"}}}"#
        )
        #expect(unknown.status == 201)
        #expect(unknown.headers["Warning"] == #"299 - "unknown field \"spec.audience\"""#)
    }

    @Test(arguments: [
        "null", #"{"apiVersion":"v1","kind":"Node","name":"node-a","uid":"uid-node-a"}"#,
        #"{"apiVersion":"v1","kind":"Secret","name":"s","uid":"u"}"#, #"{"kind":"Pod","name":"app-a","uid":"p-app"}"#,
    ])
    func aNodeBindsToPodsOnly(reference: String) async throws {
        let answer = try await TestAPI().send(
            "POST",
            "/api/v1/namespaces/team-a/serviceaccounts/app/token",
            body: #"{"spec":{"boundObjectRef":\#(reference)}}"#
        )
        #expect(answer.status == 403)
        #expect(answer.message == "serviceaccounts \"app\" is forbidden: node requested token not bound to a pod")
    }

    @Test(arguments: [
        ("app-a", "0000", 409, "Operation cannot be fulfilled on Pod \"app-a\": the UID in the bound object reference"),
        ("nosuch", "p-app", 404, "pods \"nosuch\" not found"),
    ])
    func anAdministratorIsNotRestrictedToANode(pod: String, uid: String, code: Int, message: String) throws {
        let body = #"{"spec":{"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"\#(pod)","uid":"\#(uid)"}}}"#
        let request = try TokenRequest(parsing: body.utf8)
        let administrator = KubernetesUser(name: "admin", groups: ["system:masters"])
        let state = try TestAPI().emulator.storage.withLock { $0.state }
        let error = #expect(throws: KubernetesStatus.self) {
            try state.decide(
                request,
                for: LabPod.Key("team-a", "app"),
                as: administrator,
                tokenID: "",
                now: Date()
            )
        }
        #expect(error?.code == code)
        #expect(error?.message.hasPrefix(message) == true)
    }

    @Test func aPodsOwnTokenMintsNothing() async throws {
        let api = try TestAPI()
        let token = await api.mint().token
        let answer = await api.mint(token: token)
        #expect(answer.status == 403)
        #expect(
            answer.message == "serviceaccounts \"app\" is forbidden: User \"system:serviceaccount:team-a:app\" cannot "
                + "create resource \"serviceaccounts/token\" in API group \"\" in the namespace \"team-a\""
        )
    }

    @Test func afterARestartNoRelationshipIsKnownForAMoment() async throws {
        let api = try TestAPI { $0.relationshipDelay = .seconds(3600) }
        #expect(await api.mint().status == 201)
        api.emulator.restart()
        #expect(await api.mint().message.hasSuffix("no relationship found between node 'node-a' and this object"))
        api.emulator.clock.advance(by: .seconds(3601))
        #expect(await api.mint().status == 201)
    }

    @Test func recordsEveryMint() async throws {
        let api = try TestAPI()
        _ = await api.mint()
        let mint = try await api.emulator.mints.first { $0.podUID == "p-app" }
        #expect(mint.user == "system:node:node-a")
        #expect(mint.expirationSeconds == 3600)
    }
}
