import KubernetesAPI
import Logging
import Operations
import SpiffeIdentity
import Tokens

/// Publishes the trust domain's authorities in the cluster, while this replica holds the Lease.
///
/// Writes ClusterTrustBundles of both signers, where the API server has such objects, and a ConfigMap beside the Lease.
/// The objects are looked at as often as the keys, so that what others have changed is put right.
struct BundlePublisher: Sendable {
    static let configMapName = "podidentd-trust-bundle"
    private static let signers = [PodCertificateSignerName.spiffe, PodCertificateSignerName.nodeServing]
    /// How long the API server's answer about what it serves is good: it may be upgraded.
    private static let versionLife = Duration.seconds(300)

    /// How one object's turn ended, if it had to be written.
    enum Result: String, Sendable, CaseIterable {
        case written
        case failed
    }

    let client: KubernetesClient
    let keys: KeyHolder
    let namespace: String
    let interval: Duration
    let counters: CounterTable<Result>
    let logger: Logger

    /// Publishes until the task is cancelled.
    func run() async {
        var version: PodCertificateVersion?
        var askAgainAt = ContinuousClock.now
        var complaint = ""
        while !Task.isCancelled {
            var problems: [String] = []
            if askAgainAt <= .now {
                do throws(UpstreamFailure) {
                    version = try await client.certificateVersion(serving: "clustertrustbundles")
                    askAgainAt = .now + Self.versionLife
                } catch {
                    problems.append(error.message)
                }
            }
            problems += await publish(keys.current.bundle, version)
            // A failure that goes on is logged once.
            let new = problems.joined(separator: "; ")
            if !new.isEmpty, new != complaint, !Task.isCancelled {
                logger.warning("the trust bundle cannot be published", metadata: ["reason": "\(new)"])
            }
            complaint = new
            guard (try? await Task.sleep(for: interval * Double.random(in: 0.9...1.1))) != nil else { return }
        }
    }

    /// Brings every object up to date.
    ///
    /// - Returns: Why some are not.
    private func publish(_ bundle: TrustBundle, _ version: PodCertificateVersion?) async -> [String] {
        var problems: [String] = []
        for object in Self.objects(bundle, namespace: namespace, version) {
            do throws(UpstreamFailure) {
                guard try await client.publish(object) else { continue }
                counters.increment(.written)
                logger.notice(
                    "trust bundle published",
                    metadata: [
                        "object": "\(object.kind) \(object.name)", "authorities": "\(bundle.authorities.count)",
                    ])
            } catch {
                counters.increment(.failed)
                problems.append("\(object.kind) \(object.name): \(error.message)")
            }
        }
        return problems
    }

    /// The objects that say what the bundle is. A trust domain whose name no object may have is in the ConfigMap alone.
    static func objects(
        _ bundle: TrustBundle, namespace: String, _ version: PodCertificateVersion?
    ) -> [PublishedObject] {
        let clusterWide = version.map { version in
            signers.compactMap { signer in
                PublishedObject.clusterTrustBundle(
                    of: signer, named: bundle.trustDomain.name, pem: bundle.pem, version)
            }
        }
        let document = String(decoding: bundle.document(refreshHint: 60), as: UTF8.self)
        let map = PublishedObject.configMap(
            configMapName, in: namespace, ["ca.crt": bundle.pem, "bundle.json": document])
        return (clusterWide ?? []) + [map].compactMap { $0 }
    }
}
