import Foundation

/// One real client of a cloud besides Google, which reads a bucket from inside a pod.
package struct CloudClient: Sendable, CustomStringConvertible {
    /// The cloud whose storage the client reads.
    package enum Cloud: String, Sendable {
        case aws, azure
    }

    package let name: String
    package let cloud: Cloud
    /// The number of its case in the clouds' checklist.
    package let number: Int
    let program: RealClient.Program
    /// Findings that the client must print, besides its version.
    let finds: Set<Finding.Name>
    /// The agent's counters that its requests must raise, by `CLASS.STATUS`, and no others.
    let requests: RealClient.Requests
    /// True for a client that knows only version 1 of AWS's instance metadata service.
    var needsVersion1 = false
    /// Credentials that the token service issues to it: one for each resource, where the cloud asks for one.
    var exchanges = 1

    package var description: String { "cloud case \(number) \(name)" }

    init(
        _ name: String, _ number: Int, of cloud: Cloud = .aws, _ program: RealClient.Program,
        finds: Set<Finding.Name> = [.listing, .object], requests: RealClient.Requests
    ) {
        self.name = name
        self.number = number
        self.cloud = cloud
        self.program = program
        self.finds = finds
        self.requests = requests
    }

    /// Every client of every cloud.
    package static let all = aws + azure

    /// The clients that `.ci/setup-clients` installs without the argument `all`; every client if the environment says so.
    package static var installed: [CloudClient] {
        let wantsAll = ProcessInfo.processInfo.environment["PODIDENTD_ALL_CLIENTS"] != nil
        return all.filter { wantsAll || $0.isUsual }
    }

    private var isUsual: Bool {
        switch program {
        case .environment(let environment, _), .tool(_, let environment, _, _): environment.isUsual
        default: false
        }
    }
}
