/// A pod that asks for its token again and again.
package final class Asker: Sendable {
    package let visitor: Visitor
    package let tally: Judge
    package let pod: RunningPod

    package init(pod: RunningPod, visitor: Visitor, world: LabWorld) {
        self.pod = pod
        self.visitor = visitor
        tally = Judge(world)
    }

    package func ask() async throws {
        let result = try await visitor.make(Visit(path: MetadataPath.token))
        tally.judge(result, of: pod.uid, as: .own)
    }
}
