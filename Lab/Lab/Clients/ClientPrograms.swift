import Foundation

/// The places of the programs that use real clients: sources in the repository, what was installed and built below
/// `.build`.
struct ClientPrograms: Sendable {
    /// Python's virtual environments with libraries and tools of other clouds. Packages that want different versions of one
    /// library cannot share one.
    enum Environment: String, Sendable {
        case clouds
        case aiobotocore
        case boto3in2024 = "boto3-1.34"
        case boto3in2021 = "boto3-1.17"
        case azureCLI = "azure-cli"
        case more

        /// True for the environments that `.ci/setup-clients` makes without the argument `all`.
        var isUsual: Bool { self == .clouds || self == .aiobotocore }
    }

    /// The repository.
    private let root: String

    /// The folder that `.ci/setup-clients` made.
    var built: String { root + "/.build/clients" }
    /// The options for name resolution.
    var nameOptions: String { Self.nameOptions(in: root) }

    /// Looks for the repository above `directory`.
    init(above directory: String) throws(LabError) {
        root = try Self.repository(above: directory)
        guard FileManager.default.fileExists(atPath: built + "/names-musl") else {
            throw LabError("the real clients are not installed: run 'make setup-clients'")
        }
    }

    /// The repository's directory with the options for name resolution.
    static func nameOptions(in repository: String) -> String { repository + "/deploy/dns" }

    static func repository(above directory: String) throws(LabError) -> String {
        var candidate = URL(fileURLWithPath: directory)
        while !FileManager.default.fileExists(atPath: candidate.appendingPathComponent("Package.swift").path) {
            guard candidate.path != "/" else {
                throw LabError("the lab needs files of the repository, and it is not above \(directory)")
            }
            candidate.deleteLastPathComponent()
        }
        return candidate.path
    }

    /// The command line that runs `program`.
    func command(_ program: RealClient.Program) -> [String] {
        let sources = root + "/Tests/Clients"
        return switch program {
        case .python(let file): [built + "/venv/bin/python", "\(sources)/python/\(file)"]
        case .environment(let environment, let file):
            [tool("python", of: environment), "\(sources)/python/\(file)"]
        case .go(let name): [built + "/go-\(name)"]
        case .compiled(let name): ["\(built)/\(name)"]
        case .ruby(let file): ["ruby", "\(sources)/ruby/\(file)"]
        case .java(let client): ["java", "-cp", built + "/java", "Metadata", client]
        case .awsJava(let name): ["java", "-cp", "\(built)/aws-java:\(built)/aws-java/*", name]
        case .node(let file): ["node", "\(sources)/node/\(file)"]
        case .php(let file): ["php", "\(sources)/php/\(file)"]
        case .shell(let file, let arguments): ["sh", "\(sources)/shell/\(file)"] + arguments
        case .tool(let file, let environment, let name, let arguments):
            ["sh", "\(sources)/shell/\(file)", tool(name, of: environment)] + arguments
        }
    }

    private func tool(_ name: String, of environment: Environment) -> String {
        "\(built)/\(environment.rawValue)/bin/\(name)"
    }
}
