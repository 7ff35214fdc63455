import Attribution
import MetadataServer
import Operations
import Settings
import Telemetry
import Tokens

extension DebugEndpoints {
    /// The load of each pod that has asked, is connected, or has a token.
    var podLoad: PodLoadDump {
        let meters = counters.pods.snapshot { directory.record(for: $0) != nil }
        var open: [PodUID?: Int] = [:]
        for connection in server.connections() { open[connection.pod, default: 0] += 1 }
        var tokenEntries: [PodUID?: [TokenEntrySnapshot]] = [:]
        for entry in tokens.snapshot() { tokenEntries[entry.pod, default: []].append(entry) }
        let pods = Set(meters.keys).union(open.keys).union(tokenEntries.keys)
        return PodLoadDump(
            node: configuration.nodeName, countedMilliseconds: counters.pods.countedMilliseconds,
            pods: pods.map { uid in
                let record = uid.flatMap(directory.record)
                let entries = tokenEntries[uid] ?? []
                let meter = meters[uid] ?? PodMeters.Meter()
                let lives = entries.compactMap(\.remaining)
                return PodLoadDump.Pod(
                    namespace: record?.namespace, pod: record?.name, uid: uid?.description, requests: meter.requests,
                    refusals: meter.refusals, latency: meter.latency, open: open[uid] ?? 0, tokens: lives.count,
                    failedTokens: entries.count { $0.state == "failed" },
                    leastSecondsLeft: lives.min().map { Int($0.components.seconds) })
            })
    }
}
