import Foundation

/// Where the programs that use real clients lie: sources in the repository, what was installed and built below `.build`.
struct ClientPrograms: Sendable {
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
        case .cloudPython(let file): [built + "/clouds/bin/python", "\(sources)/python/\(file)"]
        case .go(let name): [built + "/go-\(name)"]
        case .compiled(let name): ["\(built)/\(name)"]
        case .ruby(let file): ["ruby", "\(sources)/ruby/\(file)"]
        case .java(let client): ["java", "-cp", built + "/java", "Metadata", client]
        case .node(let file): ["node", "\(sources)/node/\(file)"]
        case .shell(let file, let arguments): ["sh", "\(sources)/shell/\(file)"] + arguments
        }
    }
}
