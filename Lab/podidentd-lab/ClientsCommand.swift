import ArgumentParser
import Lab

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
        if !others.isEmpty {
            try await CloudClientLab.run(keys: try LabCluster.Keys()) { lab in
                for client in others {
                    let report = try await lab.run(client)
                    let asked = report.requests.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
                    print(
                        "\(client.cloud.rawValue)  \(client.name)  \(report.version)  \(asked.joined(separator: ", "))")
                    print(report.problems.isEmpty ? "  pass: its own identity, to a listed bucket" : "  FAIL")
                    for problem in report.problems { print("  \(problem)") }
                    if !report.problems.isEmpty { throw ExitCode.failure }
                }
            }
        }
        guard !cases.isEmpty || !others.isEmpty else { throw ValidationError("no client's name contains '\(only)'") }
        let nameWidth = (cases.map(\.client.name.count) + ["CLIENT".count]).max() ?? 0
        try await ClientLab.run(keys: try LabCluster.Keys()) { lab in
            Self.row(["CLIENT", "VERSION", "NAMES BY", "ACCOUNT", "ASKED", "RESULT"], nameWidth)
            var failures = 0
            for clientCase in cases {
                let report = try await lab.run(clientCase)
                let account = clientCase.usesGoogleAccount ? "impersonated" : "federated"
                let success = clientCase.works ? "pass" : "finds no server, as documented"
                let result = report.problems.isEmpty ? success : "FAIL"
                Self.row(
                    [
                        clientCase.client.name, report.version, clientCase.addressSource, account, report.asked,
                        result,
                    ],
                    nameWidth
                )
                for problem in report.problems { print("  \(problem)") }
                failures += report.problems.isEmpty ? 0 : 1
            }
            print("\n\(cases.count - failures) passed, \(failures) failed")
            if failures > 0 { throw ExitCode.failure }
        }
    }

    /// Prints a row as soon as it is known; what is wider than its column pushes the rest to the right.
    private static func row(_ cells: [String], _ nameWidth: Int) {
        let columns = zip(cells, [nameWidth, 38, 24, 12, 84]).map { cell, width in
            cell + String(repeating: " ", count: max(0, width - cell.count))
        }
        print((columns + [cells[cells.count - 1]]).joined(separator: "  "))
    }
}
