import Foundation

/// A guard of the data path, and how to take it away from outside: nothing in the product helps with that.
struct Guard: Sendable {
    let name: String
    let means: String
    /// The attacks that stand on it.
    let attacks: [Attack]
    let switchOff: @Sendable () async throws -> Void
}

extension AttackSuite {
    /// Takes one guard away after another, and repeats the attacks that stand on it.
    ///
    /// Guards that cannot be taken away from outside are not here: the comparison of sequence numbers, the loopback interface that
    /// packets must not leave, and everything that the agent decides itself. The units of the decisions show those. The
    /// attacks on the protocols of AWS and Azure are repeated against the machine's own server, which has none of the
    /// agent's guards: each finds its way there, so each would notice. `CloudGuardTests` take the guards away one by one.
    ///
    /// - Parameters:
    ///   - world: Without an agent.
    ///   - report: Called with each outcome.
    /// - Returns: All outcomes. Every one of them should be needed.
    /// - Throws: If the world itself does not work.
    package static func runWithoutGuards(
        in world: LabWorld, report: @escaping @Sendable (GuardReport) -> Void
    ) async throws -> [GuardReport] {
        try await onStage(in: world) { stage in
            let suite = AttackSuite(
                stage: stage, victim: try VictimProbe(world: world, pod: stage.target), report: { _ in }
            )
            var reports: [GuardReport] = []
            for guardian in suite.guards {
                try await stage.startAgent()
                for attack in guardian.attacks {
                    reports.append(try await suite.compare(attack, guardian))
                    report(reports[reports.count - 1])
                }
                // The next agent puts everything back, after a look at the pins that are left.
                await stage.stopAgent()
                _ = try await Command.run([
                    world.binaries + "/podidentd", "uninstall", "--pin-directory", world.pinDirectory,
                ])
            }
            return reports
        }
    }

    private func compare(_ attack: Attack, _ guardian: Guard) async throws -> GuardReport {
        let ownUID = attack.ownUID ?? mallory.uid
        if let control = attack.control, try await !control() {
            throw AttackNotMounted("\(attack.attempt): no control")
        }
        let with = Loot(try await attack.run(), world: world)
        try await guardian.switchOff()
        // The kernel detaches a program some time after its last pin has gone.
        var without: Loot?
        let deadline = ContinuousClock.now + .seconds(20) * LabKernel.patience
        repeat {
            do {
                without = Loot(try await attack.run(), world: world)
            } catch is AttackNotMounted {
                // While one hook is gone and the next is not, there may be no connection at all.
                without = nil
            }
        } while without?.meets(attack.expectation, ownUID: ownUID) != false && ContinuousClock.now < deadline
        return GuardReport(
            name: guardian.name, means: guardian.means, attempt: "\(attack.number) \(attack.attempt)",
            with: String(with.text(ownUID: ownUID, nameOf: name).prefix(39)),
            without: String((without?.text(ownUID: ownUID, nameOf: name) ?? "not tried").prefix(39)),
            isNeeded: with.meets(attack.expectation, ownUID: ownUID)
                && without?.meets(attack.expectation, ownUID: ownUID) == false
        )
    }

    private var guards: [Guard] {
        [
            link("connect4", attack: passedByHost(isIPv6: false, isDatagram: false)),
            link("connect6", attack: passedByHost(isIPv6: true, isDatagram: false)),
            // Each of these stands before others on the same way.
            link("egress", with: "input4", AttackStage.uplinks, attack: rawOnHost),
            link("forward4", with: "translated4", "input4", attack: frame),
            link("forward6", with: "translated6", "input6", attack: frame6),
            // These also give the accepted socket its tag.
            link("getpeername4", attack: mustWork(LabNode.metadataAddress)),
            link("getpeername6", attack: mustWork(LabNode.metadataAddress6)),
            link("bind4", attack: bindsPort("127.0.0.1", .ordinary, in: stage.onHost)),
            link("bind6", attack: bindsPort("::1", .ordinary, in: stage.onHost)),
            Guard(
                name: "who is a pod", means: "nid_settings: kubepods_id = 0",
                attacks: [
                    Attack("R1", .unprivileged, "connect(), on the node's network", .ownIdentity, own: stage.onHost) {
                        try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: stage.onHost)
                    }
                ],
                switchOff: { try await overwriteSettings(kubepods: 0) }
            ),
            Guard(
                name: "policy: nobody passes", means: "nid_policies: passthrough for the attacker",
                attacks: [
                    Attack("R1", .unprivileged, "connect(), on the node's network", .ownIdentity, own: stage.onHost) {
                        try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: stage.onHost)
                    }
                ],
                switchOff: {
                    try await overwrite(
                        "nid_policies", key: hexadecimal(cgroupID(stage.onHost.cgroup)), value: "01000000")
                }
            ),
            Guard(
                name: "creator is connector", means: "nid_settings: wrong groups, so a class is one pod",
                attacks: [lent],
                switchOff: { try await overwriteSettings(groups: 1) }
            ),
        ] + clouds.map(withoutRedirect)
    }

    /// A pod's connection that is not redirected meets all of these hooks on its way to the machine's own server.
    private func withoutRedirect(_ attack: Attack) -> Guard {
        Guard(name: "the agent itself", means: "the links of redirect and packets removed", attacks: [attack]) {
            for hook in ["connect4", "egress", "forward4", "translated4", "input4", AttackStage.uplinks] {
                try await stage.detach(hook)
            }
        }
    }

    private func link(_ name: String, with others: String..., attack: Attack) -> Guard {
        Guard(
            name: name,
            means: others.isEmpty
                ? "its pinned link removed" : "its link removed, and \(others.joined(separator: ", "))",
            attacks: [attack],
            switchOff: { for hook in [name] + others { try await stage.detach(hook) } }
        )
    }

    private func mustWork(_ address: String) -> Attack {
        Attack("R1", .unprivileged, "connect() to \(address): must work", .ownIdentity) {
            try await stage.got(["connect", "plain", address, "80"], .unprivileged)
        }
    }

    // MARK: Maps

    private func cgroupID(_ path: String) throws -> UInt64 {
        let attributes = try FileManager.default.attributesOfItem(atPath: world.node.cgroupDirectory(path))
        guard let inode = attributes[.systemFileNumber] as? NSNumber else { throw LabError("\(path) has no ID") }
        return inode.uint64Value
    }

    /// The digits of the value as it lies in memory.
    private func hexadecimal(_ value: UInt64) -> String {
        unsafe withUnsafeBytes(of: value) { bytes in
            unsafe bytes.map { String(format: "%02x", $0) }.joined()
        }
    }

    /// Begins `struct nid_settings` without groups, or with those of an ID that is nowhere below kubepods: 1, the
    /// hierarchy's root. The level stays.
    private func overwriteSettings(kubepods: UInt64? = nil, groups: UInt64 = 0) async throws {
        let value =
            try hexadecimal(kubepods ?? cgroupID(world.node.kubepods))
            + String(repeating: hexadecimal(groups), count: 5)
        try await overwrite("nid_settings", key: "00000000", value: value)
    }

    private func overwrite(_ map: String, key: String, value: String) async throws {
        try await Command.require(
            [try Attacker.program(), "overwrite", "\(try mapDirectory())/\(map)", key, value, "0"])
    }
}
