import Foundation

/// A13: a transparent proxy stands between the pod and the agent. It is never taken for the application, nor served in
/// its place; what every sidecar leaves alone, the address 127.0.0.1, is the agent's.
extension AttackSuite {
    private static let proxyPort = "15001"
    private static let proxyUser = "1337"

    var meshes: [Attack] {
        [
            Attack("A13", .ordinary, "a sidecar in the pod captures all (iptables REDIRECT)", .nothing) {
                try await captured(by: sidecar())
            },
            Attack("A13", .ordinary, "another pod's proxy in the pod's network captures all", .nothing) {
                try await captured(by: nodeProxy())
            },
            Attack("A13", .ordinary, "the sidecar leaves 127.0.0.1 alone, as Istio's does: must work", .ownIdentity) {
                try await captured(by: sidecar(), except: ["-d", "127.0.0.1/32"])
            },
        ]
    }

    /// A process of the pod's own, of a user whose connections are not captured.
    private func sidecar() throws -> Command {
        try mallory.start([
            "setpriv", "--reuid=\(Self.proxyUser)", "--clear-groups", "--", try Attacker.program(), "proxy",
            Self.proxyPort,
        ])
    }

    /// A process of another pod, whose sockets are in the application's network.
    private func nodeProxy() throws -> Command {
        try stage.neighbour.start([
            "nsenter", "--net=\(mallory.network.path)", "--", "setpriv", "--reuid=\(Self.proxyUser)", "--clear-groups",
            "--", try Attacker.program(), "proxy", Self.proxyPort,
        ])
    }

    private func captured(
        by proxy: @autoclosure () throws -> Command, except exclusion: [String]? = nil
    ) async throws -> String {
        // A pod that runs has a process: rows before this one may have ended the first.
        let main = try mallory.start(["sleep", "infinity"])
        defer { main.signal(SIGKILL) }
        let proxy = try await stage.began(proxy(), "listening")
        let rules = [
            ["-m", "owner", "--uid-owner", Self.proxyUser, "-j", "RETURN"],
            exclusion.map { $0 + ["-j", "RETURN"] },
            ["-p", "tcp", "-j", "REDIRECT", "--to-ports", Self.proxyPort],
        ].compactMap(\.self)
        do {
            for rule in rules { try await table(["-A", "OUTPUT"] + rule) }
            // The proxy works: what it is not kept from, it carries.
            let control = try await stage.got(
                ["connect", "peer", LabNode.address, "\(AttackStage.openPort)"], .ordinary)
            guard control.hasPrefix("peer") else { throw AttackNotMounted(control) }
            let output = try await stage.got(["connect", "plain"] + Self.metadata, .ordinary)
            try await table(["-F", "OUTPUT"])
            proxy.signal(SIGKILL)
            let taken = await proxy.result().output.split(separator: "\n").count
            guard taken == (exclusion == nil ? 2 : 1) else {
                throw AttackNotMounted("the proxy took \(taken) connections: \(output)")
            }
            return output
        } catch {
            try? await table(["-F", "OUTPUT"])
            proxy.signal(SIGKILL)
            throw error
        }
    }

    private func table(_ arguments: [String]) async throws {
        let command = ["nsenter", "--net=\(mallory.network.path)", "--", "iptables", "-w", "-t", "nat"] + arguments
        let result = try await Command.run(command)
        guard result.succeeded else { throw AttackNotMounted("iptables: \(result.errorOutput)") }
    }
}
