/// A pod that asks for its token again and again.
package final class TokenPoller: Sendable {
    package let visitor: PodClient
    package let tally: ResponseOracle
    package let pod: RunningPod

    package init(pod: RunningPod, visitor: PodClient, world: LabWorld) {
        self.pod = pod
        self.visitor = visitor
        tally = ResponseOracle(world)
    }

    package func ask() async throws {
        let result = try await visitor.make(ClientRequest(path: MetadataPath.token))
        tally.judge(result, of: pod.uid, as: .own)
    }
}
