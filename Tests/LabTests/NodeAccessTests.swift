import Foundation
import Testing

@testable import Lab

@Suite struct NodeAccessTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var method = "GET"
        var target: String
        var status: Int
        var message = ""
        var testDescription: String { "\(method) \(target) -> \(status)" }
    }

    private static let noRelation = "no relationship found between node 'node-a' and this object"

    @Test(arguments: [
        Case(target: "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a", status: 200),
        Case(target: "/api/v1/pods?fieldSelector=spec.nodeName%3D%3Dnode-a,status.phase%3DRunning", status: 200),
        Case(target: "/api/v1/namespaces/team-a/pods?fieldSelector=spec.nodeName=node-a", status: 200),
        Case(
            target: "/api/v1/pods",
            status: 403,
            message:
                "pods is forbidden: User \"system:node:node-a\" cannot list resource \"pods\" in API group \"\" at "
                + "the cluster scope: can only list/watch pods with spec.nodeName field selector"
        ),
        Case(target: "/api/v1/pods?fieldSelector=spec.nodeName=node-b", status: 403),
        Case(target: "/api/v1/pods?fieldSelector=spec.nodeName!=node-b", status: 403),
        Case(target: "/api/v1/watch/pods?fieldSelector=spec.nodeName=node-a", status: 403),
        Case(target: "/api/v1/namespaces/team-a/pods/app-a", status: 200),
        Case(target: "/api/v1/namespaces/team-a/pods?fieldSelector=metadata.name=app-a", status: 200),
        Case(
            target: "/api/v1/namespaces/team-a/pods?fieldSelector=metadata.name=app-nb", status: 403,
            message: noRelation),
        Case(target: "/api/v1/namespaces/team-a/pods/app-nb", status: 403, message: noRelation),
        Case(target: "/api/v1/namespaces/team-a/pods/nosuch", status: 403, message: noRelation),
        Case(target: "/api/v1/namespaces/team-a/serviceaccounts/app", status: 200),
        Case(target: "/api/v1/namespaces/team-a/serviceaccounts/only-b", status: 403, message: noRelation),
        Case(target: "/api/v1/namespaces/team-a/serviceaccounts/nosuch", status: 403, message: noRelation),
        Case(
            target: "/api/v1/namespaces/team-a/serviceaccounts",
            status: 403,
            message: "can only create tokens for individual service accounts"
        ),
        Case(
            target: "/api/v1/namespaces",
            status: 403,
            message: "namespaces is forbidden: User \"system:node:node-a\" cannot list resource \"namespaces\" in API "
                + "group \"\" at the cluster scope"
        ),
        Case(target: "/api/v1/namespaces/team-a", status: 403),
        Case(target: "/api/v1/nodes/node-a", status: 200),
        Case(target: "/api/v1/nodes?fieldSelector=metadata.name=node-a", status: 200),
        Case(
            target: "/api/v1/nodes/node-b",
            status: 403,
            message: "node 'node-a' cannot read 'node-b', only its own Node object"
        ),
        Case(
            target: "/api/v1/nodes", status: 403,
            message: "node 'node-a' cannot read all nodes, only its own Node object"
        ),
        Case(target: "/api/v1/secrets", status: 403),
        Case(target: "/metrics", status: 403),
        Case(target: "/openid/v1/jwks", status: 403),
        Case(target: "/.well-known/openid-configuration", status: 403),
        Case(method: "DELETE", target: "/api/v1/namespaces/team-a/pods/app-a", status: 403),
    ])
    func answersANode(_ test: Case) async throws {
        let answer = try await TestAPI().send(test.method, test.target)
        #expect(answer.status == test.status)
        #expect(test.message.isEmpty || answer.message.hasSuffix(test.message))
    }

    @Test func showsServiceAccountsWithAnnotationsUntilTheyAreGone() async throws {
        let api = try TestAPI()
        let path = "/api/v1/namespaces/team-a/serviceaccounts/app"
        api.emulator.annotate(namespace: "team-a", serviceAccount: "app", "iam.gke.io/gcp-service-account", "g@p")
        let account = await api.send("GET", path).json
        #expect(account["metadata"]?["annotations"] == ["iam.gke.io/gcp-service-account": "g@p"])
        #expect(account["metadata"]?["uid"]?.string == "uid-app")
        api.emulator.deleteServiceAccount(namespace: "team-a", name: "app")
        #expect(await api.send("GET", path).status == 404)
    }

    @Test func showsANodeItsOwnObject() async throws {
        let api = try TestAPI()
        api.emulator.updateNode("node-a") { node in
            node.labels["topology.kubernetes.io/zone"] = "z"
            node.providerID = "gce://p/z/node-a"
        }
        let node = await api.send("GET", "/api/v1/nodes/node-a").json
        #expect(node["kind"] == "Node")
        #expect(node["metadata"]?["uid"]?.string == "uid-node-a")
        #expect(node["metadata"]?["labels"]?["topology.kubernetes.io/zone"]?.string == "z")
        #expect(node["spec"]?["providerID"]?.string == "gce://p/z/node-a")
        #expect(node["status"]?["addresses"] == [["address": "node-a", "type": "Hostname"]])
    }

    @Test func withTheGateOffServiceAccountsAreNotReadable() async throws {
        let answer = try await TestAPI { $0.nodesReadServiceAccounts = false }
            .send("GET", "/api/v1/namespaces/team-a/serviceaccounts/app")
        #expect(answer.status == 403)
        #expect(answer.message.hasSuffix(": not allowed to get service accounts"))
    }

    @Test(arguments: [nil, "garbage"])
    func rejectsBadCredentialsByteForByte(token: String?) async throws {
        let answer = try await TestAPI().send(
            "GET",
            "/api/v1/namespaces/team-a/pods/app-a",
            token: token,
            anonymous: token == nil
        )
        #expect(answer.status == 401)
        #expect(
            answer.text == #"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#
                + #""message":"Unauthorized","reason":"Unauthorized","code":401}"# + "\n"
        )
        #expect(answer.headers["WWW-Authenticate"] == nil)
    }

    @Test func publishesDiscoveryByteForByte() async throws {
        let answer = try await TestAPI().send("GET", "/.well-known/openid-configuration", anonymous: true)
        #expect(
            answer.text == #"{"issuer":"https://kubernetes.default.svc.cluster.local","#
                + #""jwks_uri":"https://127.0.0.1:6443/openid/v1/jwks","response_types_supported":["id_token"],"#
                + #""subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256"]}"#
        )
        #expect(answer.headers["Cache-Control"] == "public, max-age=3600")
    }

    @Test(arguments: [
        ("application/json", 406), ("text/html", 406), ("*/*", 200), ("application/jwk-set+json", 200),
        ("application/json, */*", 200), (nil, 200),
    ])
    func negotiatesKeys(accept: String?, status: Int) async throws {
        let answer = try await TestAPI().send("GET", "/openid/v1/jwks", accept: accept, anonymous: true)
        #expect(answer.status == status)
        if status == 200 {
            #expect(answer.headers["Content-Type"] == "application/jwk-set+json")
            #expect(answer.json["keys"]?.array?.first?["e"]?.string == "AQAB")
        }
    }

    @Test func aPodsTokenReadsTheKeys() async throws {
        let api = try TestAPI()
        #expect(await api.send("GET", "/openid/v1/jwks", token: api.mint().token).status == 200)
    }

    @Test func reviewsWhetherANodeMayAskForAnAudience() async throws {
        let api = try TestAPI()
        let body = """
            {"spec":{"user":"system:node:node-a","groups":["system:nodes"],"resourceAttributes":{"namespace":"team-a",\
            "verb":"request-serviceaccounts-token-audience","group":"","resource":"\(wif)","name":"app"}}}
            """
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        #expect(await api.send("POST", path, body: body).json["status"] == ["allowed": false])
        api.emulator.allowAudience(wif, namespace: "team-a")
        let answer = await api.send("POST", path, body: body)
        #expect(answer.status == 201)
        #expect(answer.json["status"] == ["allowed": true])
    }

    @Test func saysWhoIsAsking() async throws {
        let answer = try await TestAPI().send("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body: "{}")
        #expect(answer.json["status"]?["userInfo"]?["username"]?.string == "system:node:node-a")
    }

    @Test func takesEvents() async throws {
        let api = try TestAPI()
        let answer = await api.send(
            "POST", "/api/v1/namespaces/team-a/events",
            body: #"{"reason":"Denied","involvedObject":{"namespace":"team-a"}}"#)
        #expect(answer.status == 201)
        try await api.emulator.events.first { $0["reason"]?.string == "Denied" }
    }
}
