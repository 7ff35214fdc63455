import ArgumentParser
import Attribution
import FoundationEssentials
import Operations
import Settings

struct ReadyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ready",
        abstract: "Says whether the agent of this pod is ready: for a readiness probe.",
        discussion: """
            Asks the agent over its Unix socket for what /readyz tells, and makes sure that it is the agent of the pod \
            that this command runs in (pod-uid, or PODIDENTD_POD_UID). While a DaemonSet is updated, the old pod and the \
            new one share the node's network: an HTTP probe of the new pod would be answered by the old agent, the new \
            pod would count as ready, and the kubelet would stop the old one before it has handed over.

            Exit status: 0 ready; 1 not, with the reason in one line.
            """
    )

    /// A kubelet gives a probe a second unless it is told otherwise.
    private static let deadline = Duration.seconds(5)

    @OptionGroup var agent: AgentOptions

    func run() async throws {
        do {
            let (location, own) = (try agent.location(), try agent.podUID())
            let answer = try await AdminClient(socketPath: location.socket, deadline: Self.deadline).get("/debug/ready")
            let report = try JSONDecoder().decode(ReadinessReport.self, from: Data(answer))
            guard let objection = report.objection(ofPod: own) else {
                print("ready\(own.map { ": the agent of pod \($0)" } ?? "")")
                return
            }
            print("not ready: \(objection)")
        } catch let error as AdminServerError {
            print("not ready: \(error)")
        } catch let error as ConfigurationError {
            print("not ready: \(error)")
        }
        throw ExitCode.failure
    }
}
