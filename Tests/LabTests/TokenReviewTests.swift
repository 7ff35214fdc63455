import Foundation
import Testing

@testable import Lab

@Suite struct TokenReviewTests {
    private func review(_ api: TestAPI, _ token: String, audiences: String = "null") async -> JSON {
        let body = #"{"spec":{"token":"\#(token)","audiences":\#(audiences)}}"#
        let answer = await api.send("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body: body)
        #expect(answer.status == 201)
        return answer.json["status"] ?? .null
    }

    @Test func describesALivingToken() async throws {
        let api = try TestAPI()
        let status = await review(api, api.mint().token)
        #expect(status["authenticated"]?.bool == true)
        #expect(status["user"]?["username"]?.string == "system:serviceaccount:team-a:app")
        #expect(status["user"]?["uid"]?.string == "uid-app")
        #expect(
            status["user"]?["groups"]?.strings
                == ["system:serviceaccounts", "system:serviceaccounts:team-a", "system:authenticated"]
        )
        #expect(status["user"]?["extra"]?["authentication.kubernetes.io/pod-uid"]?.strings == ["p-app"])
        #expect(status["audiences"]?.strings == [apiAudience])
    }

    @Test func insistsOnTheAudience() async throws {
        let api = try TestAPI()
        let status = await review(api, api.mint().token, audiences: #"["nope"]"#)
        #expect(
            status["error"]?.string == "[invalid bearer token, token audiences [\"\(apiAudience)\"] is invalid for the "
                + "target audiences [\"nope\"]]"
        )
        #expect(status["authenticated"] == nil)
        #expect(status["user"] == [:])
        api.emulator.allowAudience(wif)
        let custom = await api.mint(audiences: [wif]).token
        #expect(await review(api, custom)["authenticated"] == nil)
        #expect(await review(api, custom, audiences: #"["\#(wif)"]"#)["audiences"]?.strings == [wif])
    }

    @Test func namesWhatIsWrongWithAToken() async throws {
        let api = try TestAPI()
        let token = await api.mint().token
        #expect(await review(api, "garbage")["error"]?.string == "invalid bearer token")
        let parts = token.split(separator: ".")
        let broken = "\(parts[0]).\(parts[1]).\(String(parts[2].reversed()))"
        #expect(
            await review(api, broken)["error"]?.string
                == "[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]"
        )
    }

    @Test func aTokenDiesWithItsPod() async throws {
        let api = try TestAPI()
        let token = await api.mint().token
        api.emulator.deletePod(namespace: "team-a", name: "app-a", .force)
        #expect(
            await review(api, token)["error"]?.string
                == "[invalid bearer token, service account token has been invalidated]"
        )
        api.emulator.createPod(namespace: "team-a", name: "app-a", serviceAccount: "app", node: "node-a", uid: "p-new")
        #expect(
            await review(api, token)["error"]?.string
                == "[invalid bearer token, pod UID (p-new) does not match service account pod ref claim (p-app)]"
        )
    }

    @Test func aTerminatingPodsTokenLivesAMinuteLonger() async throws {
        let api = try TestAPI()
        let token = await api.mint().token
        api.emulator.deletePod(namespace: "team-a", name: "app-a", .graceful(seconds: 30))
        api.emulator.clock.advance(by: .seconds(88))
        #expect(await review(api, token)["authenticated"]?.bool == true)
        api.emulator.clock.advance(by: .seconds(4))
        #expect(await review(api, token)["authenticated"] == nil)
    }

    @Test func aTokenDiesWithItsServiceAccount() async throws {
        let api = try TestAPI()
        let token = await api.mint().token
        api.emulator.createServiceAccount(namespace: "team-a", name: "app", uid: "uid-2")
        #expect(
            await review(api, token)["error"]?.string
                == "[invalid bearer token, service account UID (uid-2) does not match claim (uid-app)]"
        )
        api.emulator.deleteServiceAccount(namespace: "team-a", name: "app")
        #expect(
            await review(api, token)["error"]?.string == "[invalid bearer token, serviceaccounts \"app\" not found]")
    }
}
