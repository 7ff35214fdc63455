import Attribution
import BPF
import Enforcement
import Operations

/// Neighbours on the node that are in the way: other kubelets' pods, and other programs at the same hooks.
extension PostureCheck {
    /// Kubepods cgroups beside the agent's own.
    func otherKubepods(_ layout: CgroupLayoutFinding, isInstalled: Bool) -> [Posture.Item] {
        guard let cgroups = layout.cgroups, let own = layout.root else { return [] }
        let id = "cgroups.other-kubepods"
        do throws(BPFError) {
            let others = try OtherKubepods.all(beside: own, in: cgroups)
            guard !others.isEmpty else { return [Posture.Item(id, .ok, "\(own) is the only one on this node")] }
            let held = isInstalled ? try PinnedMaps(below: pins).kubepods()?.others ?? [] : []
            let isHeldBack = others.allSatisfy { held.contains($0.tree) }
            let found = others.map { other in
                "\(other.root) (\(other.root.driver.rawValue), "
                    + (cgroups.isPopulated(other.root.path) ? "with processes)" : "empty)")
            }
            let meaning =
                isHeldBack || !isInstalled
                ? "Pods there get no identity; those on the node's network are refused at protected addresses."
                : "The programs do not hold it back: its pods on the node's network can reach protected addresses."
            return [
                Posture.Item(
                    id, isHeldBack || !isInstalled ? .degraded : .unsafe,
                    "beside \(own) there is \(found.joined(separator: ", "))", meaning: meaning + Self.otherRemedy)
            ]
        } catch {
            return [Posture.Item(id, .unknown, "\(error)")]
        }
    }

    private static let otherRemedy = """
         If the kubelet's cgroup driver or root cgroup was changed, drain and reboot the node: one tree is left. If a \
        second kubelet runs here, move it to a node of its own. If the other tree is this kubelet's, set \
        cgroup.kubepods to it, or pod-uid.
        """

    /// Programs that keep the agent's hooks out.
    func exclusivePrograms(_ layout: CgroupLayoutFinding) -> [Posture.Item] {
        guard let cgroups = layout.cgroups else { return [] }
        let id = "hooks.exclusive"
        do throws(BPFError) {
            let found = try ExclusivePrograms.all(at: cgroups.mountPoint)
            guard !found.isEmpty else {
                return [Posture.Item(id, .ok, "nothing at \(cgroups.mountPoint) keeps other programs out")]
            }
            return [
                Posture.Item(
                    id, .degraded, found.map(\.summary).joined(separator: "; "),
                    meaning: "The agent cannot attach its hooks beside it: "
                        + found.map { $0.remedy(at: cgroups.mountPoint) }.joined(separator: "; ") + ".")
            ]
        } catch {
            return [Posture.Item(id, .unknown, "\(error)")]
        }
    }
}
