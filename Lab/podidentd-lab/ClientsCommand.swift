import ArgumentParser
import Lab
import Synchronization

struct ClientsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clients",
        abstract: "Runs real clients inside pods and prints what each asked and whether it got its own. Needs root."
    )

    @Option(help: "Runs only clients whose name contains this.")
    var only = ""

    func run() async throws {
        let cases = ClientCase.all.filter { only.isEmpty || $0.client.name.contains(only) }
        let others = CloudClient.all.filter { only.isEmpty || $0.name.contains(only) }
        guard !cases.isEmpty || !others.isEmpty else { throw ValidationError("no client's name contains '\(only)'") }
        var failures = others.isEmpty ? 0 : try await Self.runOthers(others)
        failures += cases.isEmpty ? 0 : try await Self.runGoogles(cases)
        print("\n\(cases.count + others.count - failures) passed, \(failures) failed")
        if failures > 0 { throw ExitCode.failure }
    }

    /// Runs Google's clients, and returns how many did not get their own identity.
    private static func runGoogles(_ cases: [ClientCase]) async throws -> Int {
        let failures = Mutex(0)
        let nameWidth = (cases.map(\.client.name.count) + ["CLIENT".count]).max() ?? 0
        try await ClientLab.run(keys: try LabCluster.Keys()) { lab in
            let widths = [nameWidth, 38, 24, 12, 84]
            row(["CLIENT", "VERSION", "NAMES BY", "ACCOUNT", "ASKED", "RESULT"], widths)
            for clientCase in cases {
                let report = try await lab.run(clientCase)
                let account = clientCase.usesGoogleAccount ? "impersonated" : "federated"
                let success = clientCase.works ? "pass" : "finds no server, as documented"
                let result = report.problems.isEmpty ? success : "FAIL"
                row(
                    [
                        clientCase.client.name, report.version, clientCase.addressSource, account, report.asked,
                        result,
                    ],
                    widths
                )
                for problem in report.problems { print("  \(problem)") }
                if !report.problems.isEmpty { failures.withLock { $0 += 1 } }
            }
        }
        return failures.withLock { $0 }
    }

    /// Runs the clients of AWS and Azure, and returns how many did not get their own identity.
    private static func runOthers(_ clients: [CloudClient]) async throws -> Int {
        let width = (clients.map(\.name.count)).max() ?? 0
        let failures = Mutex(0)
        try await CloudClientLab.run(keys: try LabCluster.Keys()) { lab in
            row(["CLIENT", "CLOUD", "VERSION", "ASKED", "RESULT"], [width, 5, 38, 96])
            for client in clients {
                let report = try await lab.run(client)
                let asked = report.requests.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
                row(
                    [
                        client.name, client.cloud.rawValue, report.version, asked.joined(separator: ", "),
                        report.problems.isEmpty ? "pass: its own identity, to a listed bucket" : "FAIL",
                    ], [width, 5, 38, 96])
                for problem in report.problems { print("  \(problem)") }
                if !report.problems.isEmpty { failures.withLock { $0 += 1 } }
            }
        }
        return failures.withLock { $0 }
    }

    /// Prints a row as soon as it is known; what is wider than its column pushes the rest to the right.
    private static func row(_ cells: [String], _ widths: [Int]) {
        let columns = zip(cells, widths).map { cell, width in
            cell + String(repeating: " ", count: max(0, width - cell.count))
        }
        print((columns + [cells[cells.count - 1]]).joined(separator: "  "))
    }
}
