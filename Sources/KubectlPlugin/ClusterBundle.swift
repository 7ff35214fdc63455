import Operations

/// One tar file with the debug bundle of every agent.
package enum ClusterBundle {
    /// `NODE.tar` of each node that answered; `NODE.error.txt` of each other.
    package static func archive(
        _ answers: [NodeResponse<Kubectl.Ended>], status: String, modified: Int64
    ) -> [UInt8] {
        var archive = TarArchive(modified: modified)
        archive.append("status.txt", Array(status.utf8))
        for answer in answers {
            switch answer.result {
            case .success(let ended) where ended.status == 0: archive.append("\(answer.agent.node).tar", ended.output)
            case .success(let ended): archive.append("\(answer.agent.node).error.txt", Array(ended.errors.utf8))
            case .failure(let error):
                archive.append("\(answer.agent.node).error.txt", Array((error.description + "\n").utf8))
            }
        }
        return archive.bytes
    }
}
