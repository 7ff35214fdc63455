import Clouds
import KubernetesAPI
import Logging
import Operations
import Settings
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ConfigurationReloaderTests {
    private struct Unreadable: Error {}

    @Test("what can change is in force at once, and what cannot is named and stays")
    func change() async throws {
        let old = try TestConfiguration.load()
        let new = try TestConfiguration.load(["log.level=debug", "kubernetes.events=false", "listen.port=2000"])
        let lines = Texts()
        let threshold = LogThreshold(.info)
        let source = ReloadSource(keys: ConfigurationKey.all, threshold: threshold) { new }
        let reloader = try made(old, source, lines)
        #expect(reloader.writesEvents && reloader.current == old)

        await reloader.reload()
        #expect(!reloader.writesEvents && reloader.current.logLevel == .debug && threshold.level == .debug)
        #expect(reloader.current.listenPort == old.listenPort)
        try #require(lines.all.count == 2)
        #expect(lines.all[0].contains("restart the agent to apply: listen.port"))
        #expect(lines.all[1].contains("configuration reloaded"))
        #expect(lines.all[1].contains("kubernetes.events, log.level"))

        // The same again: nothing more is applied, and what needs a restart still needs it.
        await reloader.reload()
        try #require(lines.all.count == 4)
        #expect(lines.all[2].contains("restart the agent to apply: listen.port"))
        #expect(lines.all[3].contains("configuration reloaded") && lines.all[3].contains("nothing"))
    }

    @Test("a configuration that cannot be read changes nothing, and the next one is taken")
    func unreadable() async throws {
        let old = try TestConfiguration.load()
        let new = try TestConfiguration.load(["log.level=debug"])
        let lines = Texts()
        let threshold = LogThreshold(.info)
        let isReadable = Mutex(false)
        let source = ReloadSource(keys: ConfigurationKey.all, threshold: threshold) {
            guard isReadable.withLock({ $0 }) else { throw Unreadable() }
            return new
        }
        let reloader = try made(old, source, lines)
        await reloader.reload()
        #expect(reloader.current == old && threshold.level == .info)
        try #require(lines.all.count == 1)
        #expect(lines.all[0].contains("the configuration was not reloaded") && lines.all[0].contains("Unreadable"))

        isReadable.withLock { $0 = true }
        await reloader.reload()
        #expect(reloader.current.logLevel == .debug && threshold.level == .debug)
    }

    @Test("without a source a reload does nothing")
    func withoutSource() async throws {
        let old = try TestConfiguration.load()
        let lines = Texts()
        let reloader = try made(old, nil, lines)
        await reloader.reload()
        #expect(reloader.current == old && lines.all.isEmpty)
    }

    private func made(
        _ configuration: AgentConfiguration, _ source: ReloadSource?, _ lines: Texts
    ) throws -> ConfigurationReloader {
        let watcher = PodWatcher(
            client: try KubernetesClient.unused(), nodeName: "node-a", misses: AsyncStream { $0.finish() },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { _ in }
        let logger = Logger(label: "test") { label in
            LineLogHandler(label: label, format: .text) { lines.append(String(decoding: $0, as: UTF8.self)) }
        }
        return ConfigurationReloader(configuration, source: source, watcher: watcher, logger: logger)
    }
}

private final class Texts: Sendable {
    private let storage = Mutex<[String]>([])
    var all: [String] { storage.withLock { $0 } }
    func append(_ text: String) { storage.withLock { $0.append(text) } }
}
