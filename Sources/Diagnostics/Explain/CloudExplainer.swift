import Attribution
import Clouds
import MetadataProtocol
import Operations
import Tokens

/// Says for each cloud besides Google why a pod does or does not get its credentials. The last stage is a real mint.
struct CloudExplainer: Sendable {
    let modules: [any CloudModule]
    let tokens: TokenService

    private typealias Stage = Explanation.Stage

    /// `account` is the pod's. Nothing of a cloud whose annotation it does not have.
    func stages(of pod: PodRecord, _ account: ServiceAccountRecord) async -> [Explanation.Stage] {
        var stages: [Stage] = []
        for module in modules { stages += await self.stages(of: module, pod, account) }
        return stages
    }

    /// Whether the pod is another cloud's alone, so that Google's stages say nothing about it.
    func isOthersAlone(_ account: ServiceAccountRecord) -> Bool {
        account.googleServiceAccount == nil
            && modules.contains { module in
                type(of: module).annotations.contains { account.annotations[$0] != nil }
            }
    }

    private func stages(
        of module: any CloudModule, _ pod: PodRecord, _ account: ServiceAccountRecord
    ) async -> [Stage] {
        let cloud = type(of: module).name.rawValue
        let credential: CloudCredential
        do throws(RequestRefusal) {
            guard let named = try module.trialCredential(of: account) else { return [] }
            credential = named
        } catch {
            guard case .room(let refusal) = error else { return [] }
            return [Stage("\(cloud) identity", .failed, refusal.text, remedy: refusal.text)]
        }
        var stages = [
            Stage("\(cloud) identity", .ok, "\(account.reference) names \(credential.identity.principal)")
        ]
        let trial = await tokens.tryMinting(credential, for: pod, account: account)
        for attempt in trial.attempts {
            let title = "\(cloud) \(attempt.step == .exchange ? "exchange" : "TokenRequest")"
            guard let failure = attempt.failure else {
                stages.append(Stage(title, .ok, attempt.step == .exchange ? "accepted" : "minted"))
                continue
            }
            let status = failure.status.map { "\($0), " } ?? ""
            stages.append(
                Stage(
                    title, .failed, "\(status)\(failure.message)",
                    remedy: module.remedy(failure, credential, account.reference)))
        }
        if let lifetime = trial.lifetime {
            stages.append(
                Stage(
                    "\(cloud) credential", .ok,
                    "minted for \(credential.identity.principal), ends in \(lifetime.components.seconds) s; not shown"))
        }
        return stages
    }
}
