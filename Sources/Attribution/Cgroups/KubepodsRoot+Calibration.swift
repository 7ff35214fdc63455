extension KubepodsRoot {
    /// Finds the root from the path of a cgroup that is known to belong to the pod `uid`: the agent's own.
    ///
    /// The UID must come from the downward API and the path from the kernel. The answer is the one root under which
    /// the path parses to exactly that pod. A node that runs inside another cluster's pod may offer two; two answers
    /// are none, and the root has to be configured.
    package static func calibrated(by path: [UInt8], of uid: PodUID) -> KubepodsRoot? {
        var answer: KubepodsRoot?
        for end in path.indices.dropFirst() where path[end] == .slash {
            guard let root = try? KubepodsRoot(path: Array(path[..<end])), root.parse(path)?.uid == uid else {
                continue
            }
            guard answer == nil else { return nil }
            answer = root
        }
        return answer
    }
}
