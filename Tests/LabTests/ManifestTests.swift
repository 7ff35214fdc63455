import Foundation
import NIOCore
import NIOHTTP1
import Testing

@testable import Lab

/// Roles, bindings and the startup taint's policy as the API server evaluates them.
@Suite struct ManifestTests {
    private static let account = "system:serviceaccount:podidentd:podidentd"
    private static let taint = "example.org/not-ready"

    @Test("a Role is for its namespace and its names, a ClusterRole for all, and neither for another subject")
    func grants() async throws {
        let api = try TestAPI()
        #expect(await api.mint(audiences: [wif]).status == 403)
        try api.emulator.apply(Self.audience(kind: "Role", names: ["app"]))
        #expect(await api.mint(audiences: [wif]).status == 201)
        #expect(await api.mint("other", pod: "other-a", uid: "p-other", audiences: [wif]).status == 403)
        #expect(await api.mint(pod: "app-b", uid: "p-b", audiences: [wif], namespace: "team-b").status == 403)
        #expect(await api.mint(audiences: ["another"]).status == 403)
        api.emulator.revokeManifests()
        #expect(await api.mint(audiences: [wif]).status == 403)
        try api.emulator.apply(Self.audience(kind: "ClusterRole", names: []))
        #expect(await api.mint(pod: "app-b", uid: "p-b", audiences: [wif], namespace: "team-b").status == 201)
        api.emulator.revokeManifests()
        try api.emulator.apply(Self.audience(kind: "ClusterRole", names: [], group: "system:serviceaccounts"))
        #expect(await api.mint(audiences: [wif]).status == 403)
    }

    @Test("a binding to a role that the manifest does not have is refused")
    func missingRole() throws {
        let api = try TestAPI()
        #expect(throws: LabError.self) { try api.emulator.apply([Self.audience(kind: "ClusterRole", names: [])[1]]) }
    }

    @Test("a node may not change its taints, and the fenced account nothing but one taint of its own node")
    func fence() async throws {
        let api = try TestAPI()
        try api.emulator.apply(Self.startupTaint)
        for node in ["node-a", "node-b"] {
            api.emulator.updateNode(node) { $0.taints = [.init(key: Self.taint), .init(key: "other")] }
        }
        api.emulator.createPod(namespace: "podidentd", name: "agent", serviceAccount: "podidentd", node: "node-a")
        let token = try api.emulator.projectedToken(namespace: "podidentd", pod: "agent")
        func patch(_ operations: String, node: String = "node-a", token: String? = token) async -> Answer {
            var headers: HTTPHeaders = ["Content-Type": "application/json-patch+json"]
            headers.add(name: "Authorization", value: "Bearer \(token ?? api.nodeA)")
            let request = LabRequest(
                method: "PATCH", target: "/api/v1/nodes/\(node)", headers: headers, body: ByteBuffer(string: operations)
            )
            return Answer(await api.emulator.handle(request))
        }
        let own =
            #"[{"op":"test","path":"/spec/taints/0/key","value":"\#(Self.taint)"},"#
            + #"{"op":"remove","path":"/spec/taints/0"}]"#

        #expect(await patch(own, token: nil).status == 403)
        let elsewhere = await patch(own, node: "node-b")
        #expect(elsewhere.status == 422)
        #expect(elsewhere.message.contains("only the agent of this node may change it"))
        let other = await patch(#"[{"op":"remove","path":"/spec/taints/1"}]"#)
        #expect(other.status == 422)
        #expect(other.message.contains("may only remove its own taint"))
        let label = await patch(#"[{"op":"add","path":"/metadata/labels/a","value":"b"}]"#)
        #expect(label.status == 422)
        for (path, place) in [
            ("/metadata/ownerReferences", "metadata"), ("/metadata/finalizers", "metadata"),
            ("/spec/providerID", "spec"),
        ] {
            let operation = #"{"op":"add","path":"\#(path)","value":["x"]}"#
            let change = await patch(own.replacing("}]", with: "},\(operation)]"))
            #expect(change.status == 422)
            #expect(change.message.contains("may not change \(place)"))
        }
        #expect(await patch(#"[{"op":"test","path":"/spec/taints/1/key","value":"\#(Self.taint)"}]"#).status == 422)
        #expect(api.emulator.taints(ofNode: "node-a") == [Self.taint, "other"])
        #expect(await patch(own).status == 200)
        #expect(api.emulator.taints(ofNode: "node-a") == ["other"])
        #expect(api.emulator.taints(ofNode: "node-b") == [Self.taint, "other"])
    }

    private static func audience(kind: String, names: [String], group: String = "system:nodes") -> [JSON] {
        let metadata: JSON = ["name": "audience", "namespace": kind == "Role" ? "team-a" : nil]
        let rule: JSON = [
            "apiGroups": [""], "verbs": ["request-serviceaccounts-token-audience"], "resources": [.string(wif)],
            "resourceNames": names.isEmpty ? nil : .strings(names),
        ]
        return [
            ["kind": .string(kind), "metadata": metadata, "rules": [rule]],
            [
                "kind": .string(kind + "Binding"), "metadata": metadata,
                "roleRef": ["kind": .string(kind), "name": "audience"],
                "subjects": [["kind": "Group", "name": .string(group)]],
            ],
        ]
    }

    private static let startupTaint: [JSON] = [
        ["kind": "ServiceAccount", "metadata": ["name": "podidentd", "namespace": "podidentd"]],
        [
            "kind": "ClusterRole", "metadata": ["name": "t"],
            "rules": [["apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]]],
        ],
        [
            "kind": "ClusterRoleBinding", "metadata": ["name": "t"],
            "roleRef": ["kind": "ClusterRole", "name": "t"],
            "subjects": [["kind": "ServiceAccount", "name": "podidentd", "namespace": "podidentd"]],
        ],
        [
            "kind": "ValidatingAdmissionPolicy", "metadata": ["name": "t"],
            "spec": [
                "failurePolicy": "Fail",
                "matchConditions": [["expression": .string("request.userInfo.username == '\(account)'")]],
                "validations": [
                    ["expression": .string("…filter(t, t.key != '\(taint)')")],
                    ["expression": "object.metadata.all(k, …)"], ["expression": "object.spec.all(k, …)"],
                ],
            ],
        ],
        [
            "kind": "ValidatingAdmissionPolicyBinding", "metadata": ["name": "t"],
            "spec": ["policyName": "t", "validationActions": ["Deny"]],
        ],
    ]
}
