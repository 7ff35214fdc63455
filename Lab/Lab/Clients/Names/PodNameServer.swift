import Foundation

/// The name server that the pods of a lab ask: one of the options of `deploy/dns`, in front of the cluster's own names.
package final class PodNameServer: Sendable {
    /// The names that the lab's own name server was asked for. With ``NameResolution/dnsmasq`` and
    /// ``NameResolution/unbound`` it stands behind the real one.
    package let questions: EventLog<String>
    private let cluster: LabNameServer
    private let process: Command?

    private static let clusterPort = 5353

    private init(cluster: LabNameServer, process: Command?) {
        self.questions = cluster.questions
        self.cluster = cluster
        self.process = process
    }

    /// Starts it on the node's address.
    ///
    /// - Parameters:
    ///   - resolution: The option.
    ///   - network: The node's namespace.
    ///   - directory: A directory of the node, for configuration files.
    ///   - deploy: The repository's `deploy/dns`.
    ///   - claimed: The address that a tenant's Service gives to ``NameResolution/claimedName``, if there is one.
    ///   - delay: Between a question to the lab's own name server and its answer.
    /// - Returns: A server that answers.
    /// - Throws: If the program is missing or does not start, with its words.
    package static func start(
        _ resolution: NameResolution, network: NetworkNamespace, directory: String, deploy: String,
        claimed: String? = nil, delay: Duration = .zero
    ) async throws -> PodNameServer {
        var names: [String: String] = [:]
        if let claimed { names[NameResolution.claimedName] = claimed }
        if resolution == .corefile {
            let text = try String(contentsOfFile: deploy + "/corefile.snippet", encoding: .utf8)
            names.merge(try Corefile.names(in: text)) { $1 }
        }
        let isReal = resolution == .dnsmasq || resolution == .unbound
        let cluster = try await LabNameServer(
            network: network, host: LabNode.address, port: isReal ? clusterPort : 53, names: names, delay: delay
        )
        do {
            let process: Command? =
                switch resolution {
                case .dnsmasq: try await dnsmasq(network, deploy)
                case .unbound: try await unbound(network, directory, deploy)
                case .corefile, .hosts, .none: nil
                }
            return PodNameServer(cluster: cluster, process: process)
        } catch {
            await cluster.stop()
            throw error
        }
    }

    /// Stops serving; the port is free when this returns.
    package func stop() async {
        if let process {
            process.signal(SIGKILL)
            _ = await process.result()
        }
        await cluster.stop()
    }

    private static func dnsmasq(_ network: NetworkNamespace, _ deploy: String) async throws -> Command {
        let options = [
            "--no-daemon", "--conf-file=\(deploy)/dnsmasq.conf", "--no-resolv", "--no-hosts", "--bind-interfaces",
            "--listen-address=\(LabNode.address)", "--server=\(LabNode.address)#\(clusterPort)", "--user=root",
            "--pid-file=",
        ]
        return try await launch(["dnsmasq"] + options, in: network) { $0.contains("started, version") }
    }

    private static func unbound(_ network: NetworkNamespace, _ directory: String, _ deploy: String) async throws
        -> Command
    {
        let path = directory + "/unbound.conf"
        let text = """
            server:
                interface: \(LabNode.address)
                access-control: 10.0.0.0/8 allow
                do-daemonize: no
                username: ""
                chroot: ""
                pidfile: ""
                use-syslog: no
                verbosity: 1
                module-config: "iterator"
            include: "\(deploy)/unbound.conf"
            forward-zone:
                name: "."
                forward-addr: \(LabNode.address)@\(clusterPort)
            remote-control:
                control-enable: no

            """
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        return try await launch(["unbound", "-d", "-c", path], in: network) { $0.contains("start of service") }
    }

    private static func launch(
        _ arguments: [String], in network: NetworkNamespace, isReady: @escaping @Sendable (String) -> Bool
    ) async throws -> Command {
        let command = try Command(["nsenter", "--net=\(network.path)", "--"] + arguments)
        do {
            try await command.errorLines.first(within: .seconds(60), where: isReady)
            return command
        } catch {
            command.signal(SIGKILL)
            throw LabError("\(arguments[0]) does not start: \(await command.result().errorOutput)")
        }
    }
}
