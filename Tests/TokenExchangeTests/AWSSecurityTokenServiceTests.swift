import Attribution
import Testing
import Tokens

@testable import AWSSecurityTokenService

@Suite struct XMLElementTests {
    private func parse(_ text: String) -> XMLElement? { XMLElement(document: Array(text.utf8)) }

    @Test("elements, text, attributes, prefixes and the five entities")
    func good() throws {
        let root = try #require(
            parse("<?xml version=\"1.0\"?>\n<a:r xmlns=\"u\" b='1'> <c>1 &lt; 2 &amp;&apos;&quot;&gt;</c><d/></a:r>\n"))
        #expect(root.name == "r" && root.only("c")?.text == "1 < 2 &'\">" && root.only("d")?.text == "")
    }

    @Test(
        "whatever else XML has is refused",
        arguments: [
            "", "<a>", "<a></b>", "<a/><b/>", "<a/>x", "x<a/>", "<!DOCTYPE a><a/>", "<a><!-- c --></a>",
            "<a>&nbsp;</a>",
            "<a>&#65;</a>", "<a><![CDATA[x]]></a>", "<a><?p?></a>", "<a b></a>", "<a b=\"<\"/>", "<a", "<a b=\"",
            "<>x</>",
            "<a>\u{0}</a",
        ])
    func bad(text: String) {
        #expect(parse(text) == nil)
    }

    @Test("depth and number of elements are bounded")
    func bounds() {
        #expect(parse(String(repeating: "<a>", count: 16) + String(repeating: "</a>", count: 16)) != nil)
        #expect(parse(String(repeating: "<a>", count: 17) + String(repeating: "</a>", count: 17)) == nil)
        #expect(parse("<r>" + String(repeating: "<a/>", count: 255) + "</r>") != nil)
        #expect(parse("<r>" + String(repeating: "<a/>", count: 256) + "</r>") == nil)
    }

    @Test("of two elements of one name none counts")
    func twice() {
        #expect(parse("<r><a>1</a><a>2</a></r>")?.only("a") == nil)
    }
}

@Suite struct RoleSessionNameTests {
    private func name(_ namespace: String, _ pod: String) throws -> String {
        let uid = try #require(PodUID("11111111-2222-3333-4444-555555555555"))
        return RoleSessionName(PodRecord(uid: uid, namespace: namespace, name: pod, serviceAccountName: "s")).text
    }

    @Test("namespace and pod, and where that is too long a part of its digest")
    func names() throws {
        #expect(try name("shop", "web-1") == "shop.web-1")
        let whole = String(repeating: "n", count: 59)
        #expect(try name("shop", whole).utf8.count == 64)
        let long = try name("shop", whole + "a")
        #expect(long.utf8.count == 64)
        let other = try name("shop", whole + "b")
        #expect(long != other && long.hasPrefix("shop.nnn"))
    }
}

@Suite struct EntraIdentityTests {
    private let client = "AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee"

    @Test("two GUIDs, or a GUID and a domain")
    func good() {
        #expect(EntraIdentity(clientID: client, tenant: client)?.text == "\(client)@\(client)".lowercased())
        #expect(EntraIdentity("\(client)@contoso.onmicrosoft.com")?.tenant == "contoso.onmicrosoft.com")
    }

    @Test(
        "anything else is none",
        arguments: [
            "", "common", "../x", "a b.example", "x..example", "-@", "contoso.com/",
            "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeeg",
            "contoso.com?x", String(repeating: "a", count: 64) + ".example",
        ])
    func bad(text: String) {
        #expect(EntraIdentity(clientID: client, tenant: text) == nil)
        #expect(EntraIdentity(clientID: text, tenant: client) == nil)
    }
}

@Suite struct AWSRoleARNTests {
    @Test("roles with and without a path, of every partition")
    func good() throws {
        let role = try #require(AWSRoleARN("arn:aws:iam::111122223333:role/team/a/reader"))
        #expect(role.roleName == "reader" && role.accountID == "111122223333" && role.serviceDomain == "amazonaws.com")
        #expect(AWSRoleARN("arn:aws-cn:iam::111122223333:role/r")?.serviceDomain == "amazonaws.com.cn")
        #expect(AWSRoleARN("arn:aws-eusc:iam::111122223333:role/r")?.serviceDomain == "amazonaws.eu")
    }

    @Test(
        "anything else is none",
        arguments: [
            "", "reader", "arn:aws:iam::111122223333:user/reader", "arn:aws:iam::11112222333:role/reader",
            "arn:aws:iam::111122223333:role/", "arn:aws:iam::111122223333:role//reader",
            "arn:aws:iam:eu-west-1:111122223333:role/reader", "arn:evil:iam::111122223333:role/reader",
            "arn:aws:iam::111122223333:role/rea der", "arn:aws:iam::111122223333:role/r\u{e9}",
            "arn:aws:iam::111122223333:role/..", "arn:aws:iam::111122223333:role/reader\n",
            "arn:aws:iam::111122223333:role/" + String(repeating: "a", count: 65),
            "arn:aws:iam::111122223333:role/" + String(repeating: "a/", count: 1100) + "b",
        ])
    func bad(text: String) {
        #expect(AWSRoleARN(text) == nil)
    }
}
