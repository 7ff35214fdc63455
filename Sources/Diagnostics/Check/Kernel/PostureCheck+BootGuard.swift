import Enforcement
import Operations
import Settings

extension PostureCheck {
    /// The boot guard, which holds pods back after the next reboot. The verdict leaves it out: it is about this moment.
    func bootGuard() -> Posture.Item {
        let id = "guards.boot"
        // The node's own root, where `check` runs on the node; else where the manifests mount the unit's directory.
        let isInstalled = ["", configuration.hostRoot, "/host"].contains {
            BootGuardUnit(hostRoot: $0).isInstalled
        }
        guard isInstalled else {
            return Posture.Item(
                id, .ok, "boot guard: not installed (\(BootGuardUnit.name) is not seen)",
                meaning: "After a reboot, pods that start before the agent reach the machine's own metadata server "
                    + "until the hooks are attached. The component boot-guard, or 'podidentd guard install', "
                    + "closes that.")
        }
        return Posture.Item(
            id, .ok, "boot guard: installed; \(BootGuardUnit.name) holds pods back from the node's boot on")
    }
}
