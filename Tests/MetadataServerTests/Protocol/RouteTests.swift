import Testing
import Tokens

@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

@Suite struct RouteTests {
    @Test(arguments: [
        "/0.1/meta-data/", "/latest/meta-data/", "/computeMetadata/v1beta1/", "/computemetadata/v1/",
        "/computeMetadata/V1/",
        "/computeMetadata/v1/instance/zone/", "/computeMetadata/v1/instance/preempted", "/computeMetadata/v1/oslogin/",
        "/computeMetadata/v1/project/attributes/", "/computeMetadata/v1/universe/universe_domain",
        "/computeMetadata/v1/instance/attributes/kube-env",
        "/computeMetadata/v1/instance/service-account/default/token",
    ])
    func `what is not on the list has no route`(_ path: String) {
        #expect(Route(path: path) == nil)
    }

    @Test func `every directory and leaf has exactly its own path`() {
        for directory in Directory.allCases {
            #expect(Route(path: directory.path) == .directory(directory))
            #expect(Route(path: String(directory.path.dropLast())) == .redirect(directory))
        }
        for leaf in Leaf.allCases {
            #expect(Route(path: leaf.directory.path + leaf.rawValue) == .leaf(leaf))
        }
    }

    struct Match: Sendable, CustomTestStringConvertible {
        var rest: String
        var resource: ServiceAccountPath.Resource?
        var testDescription: String { rest }

        init(_ rest: String, _ resource: ServiceAccountPath.Resource?) {
            self.rest = rest
            self.resource = resource
        }
    }

    @Test(arguments: [
        Match("default", .redirect), Match("default/", .directory), Match("default/token", .entry(.token)),
        Match("a@b/token", .entry(.token)), Match("p:/x/sa/token", .redirect), Match("p:/x/sa/token/", .directory),
        Match("p:/x/sa/token/email", .entry(.email)), Match("default/token/", nil), Match("defaulted/token", nil),
        Match("Default/token", nil), Match("other@b/token", nil), Match("default/nope", nil), Match("a@", nil),
        Match("p:/x/sa", nil), Match("token", nil), Match("default/default/token", nil),
    ])
    func `an account path is matched as a whole with the names that exist`(_ match: Match) throws {
        let path = try #require(ServiceAccountPath(path: "/computeMetadata/v1/instance/service-accounts/\(match.rest)"))
        let resource = path.defaultResource ?? path.resource(of: "a@b") ?? path.resource(of: "p:/x/sa/token")
        #expect(resource == match.resource)
    }

    @Test(arguments: ["", "no-at", "a@b@c", "a/b@c", "a@b\n", "a b@c", "\u{212a}@c", "@", "a@", "%40@b"])
    func `an annotation that is no email makes no account`(_ text: String) {
        var record = TestPod.p1.account
        record.googleServiceAccount = text
        #expect(throws: RequestRefusal.badAnnotation(ServiceAccountReference(namespace: "ns1", name: "app"))) {
            try ServiceAccountView(record, configuration: .test)
        }
    }
}
