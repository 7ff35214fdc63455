import FoundationEssentials
import KubernetesAPI
import Logging
import Tokens

/// Holds a Lease as long as it can, and does meanwhile what only its holder may do.
struct LeaseHolder: Sendable {
    let client: KubernetesClient
    let namespace: String
    let name: String
    let identity: String
    let logger: Logger

    /// Runs `lead` while this process holds the Lease, until the task is cancelled; then gives the Lease back.
    func run(_ lead: @escaping @Sendable () async -> Void) async {
        var plan = LeasePlan(identity: identity)
        while !Task.isCancelled {
            await attempt(&plan)
            if plan.holds(at: .now) { await hold(&plan, lead) }
            guard (try? await Task.sleep(for: LeasePlan.period * Double.random(in: 0.8...1.2))) != nil else { break }
        }
    }

    /// Renews while `lead` runs, and cancels it when that fails for too long.
    private func hold(_ plan: inout LeasePlan, _ lead: @escaping @Sendable () async -> Void) async {
        logger.info(
            "this signer holds the Lease", metadata: ["lease": "\(namespace)/\(name)", "identity": "\(identity)"])
        let leading = Task { await lead() }
        while !Task.isCancelled, plan.holds(at: .now) {
            // A renewal takes up to two calls' time, and must have ended before another signer may begin.
            guard (try? await Task.sleep(for: LeasePlan.period)) != nil, plan.holds(at: .now) else { break }
            await attempt(&plan)
        }
        leading.cancel()
        await leading.value
        logger.info("this signer no longer holds the Lease", metadata: ["lease": "\(namespace)/\(name)"])
        if Task.isCancelled, plan.holds(at: .now) { await release(plan) }
    }

    private func attempt(_ plan: inout LeasePlan) async {
        let began = ContinuousClock.now
        do throws(UpstreamFailure) {
            let lease = try await client.lease(name, in: namespace)
            let written: Bool
            switch plan.step(lease, now: .now) {
            case .wait: return
            case .create: written = try await client.write(self.lease(holder: identity, transitions: 0))
            case .write(let version, let isNew, let transitions):
                let acquired = isNew ? nil : lease?.spec.acquireTime
                written = try await client.write(
                    self.lease(holder: identity, transitions: transitions, acquired: acquired, version: version))
            }
            if written { plan.wrote(began: began) } else { plan.lost() }
        } catch {
            logger.warning("the signer cannot renew its Lease", metadata: ["reason": "\(error.message)"])
        }
    }

    /// Lets another replica begin at once. In a task of its own: this one is cancelled.
    private func release(_ plan: LeasePlan) async {
        await Task {
            var plan = plan
            guard let lease = try? await client.lease(name, in: namespace),
                case .write(let version, false, let transitions) = plan.step(lease, now: .now)
            else { return }
            _ = try? await client.write(self.lease(holder: "", transitions: transitions, version: version))
        }.value
    }

    private func lease(holder: String, transitions: Int, acquired: String? = nil, version: String? = nil) -> Lease {
        let now = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        // Milliseconds, written as the microseconds that the API asks for.
        let time = now.hasSuffix("Z") ? now.dropLast() + "000Z" : now[...]
        return Lease(
            name: name, namespace: namespace,
            spec: Lease.Spec(
                holderIdentity: holder, leaseDurationSeconds: Int(LeasePlan.duration.components.seconds),
                acquireTime: acquired ?? String(time), renewTime: String(time), leaseTransitions: transitions),
            resourceVersion: version)
    }
}
