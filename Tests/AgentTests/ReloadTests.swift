import Logging
import Operations
import Synchronization
import Testing

@testable import Clouds
@testable import Settings

@Suite struct ReloadTests {
    private func load(_ changes: [String: String] = [:]) throws -> AgentConfiguration {
        let values = [
            "node-name": "node-a", "google.provider": "identitynamespace:p:k",
            "google.project-id": "p", "google.project-number": "1",
        ].merging(changes) { $1 }
        return try ConfigurationLoader.load(
            file: nil, environment: [:], overrides: values.map { "\($0.key)=\($0.value)" }.sorted())
    }

    @Test("what can change is taken over, and everything else stays and is named, each in the reference's order")
    func change() throws {
        let old = try load()
        let new = try load([
            "log.level": "debug", "kubernetes.events": "false", "policies": "[{policy: deny, namespace: a}]",
            "shutdown.drain-seconds": "9", "listen.port": "2000", "instance.zone": "z",
        ])
        let change = ConfigurationChange(from: old, to: new, keys: ConfigurationKey.all)
        #expect(change.applied == ["policies", "kubernetes.events", "log.level"])
        #expect(change.needingRestart == ["listen.port", "instance.zone", "shutdown.drain-seconds"])
        #expect(change.result.logLevel == .debug && !change.result.writesEvents)
        #expect(change.result.policies == new.policies)
        #expect(change.result.listenPort == old.listenPort && change.result.zone == nil)
        #expect(change.result.settings.first { $0.key == "log.level" }?.value == "debug")
        #expect(change.result.settings.first { $0.key == "listen.port" }?.value == "988")
        // Read once more: what was not applied is still missing.
        let again = ConfigurationChange(from: change.result, to: new, keys: ConfigurationKey.all)
        #expect(again.applied.isEmpty && again.needingRestart == change.needingRestart)
    }

    @Test(
        "a reload changes exactly the keys that the reference calls reloadable", arguments: ConfigurationKey.all.indices
    )
    func everyKey(index: Int) throws {
        let key = ConfigurationKey.all[index]
        let old = try load()
        var new = old
        new.settings[index].value = "something else"
        let change = ConfigurationChange(from: old, to: new, keys: ConfigurationKey.all)
        #expect(change.applied == (key.isReloadable ? [key.name] : []))
        #expect(change.needingRestart == (key.isReloadable ? [] : [key.name]))
    }

    @Test("the reference marks what is reloadable")
    func reference() {
        let marks = ConfigurationKey.reference(of: ConfigurationKey.all).split(separator: "\n").count {
            $0.contains("Reloadable: SIGHUP")
        }
        #expect(marks == ConfigurationKey.all.count(where: \.isReloadable) && marks == 3)
    }

    @Test("a changed threshold counts for loggers that exist, and keeps their metadata")
    func threshold() {
        let lines = Lines()
        let threshold = LogThreshold(.info)
        var logger = Logger(label: "test") { label in
            threshold.limiting(
                LineLogHandler(label: label, format: .text) { lines.append(String(decoding: $0, as: UTF8.self)) })
        }
        logger[metadataKey: "pod"] = "a"
        logger.debug("one")
        threshold.level = .debug
        logger.debug("two")
        threshold.level = .error
        logger.warning("three")
        #expect(lines.all.count == 1 && lines.all[0].contains("pod=a") && lines.all[0].contains("two"))
    }
}

private final class Lines: Sendable {
    private let storage = Mutex<[String]>([])
    var all: [String] { storage.withLock { $0 } }
    func append(_ line: String) { storage.withLock { $0.append(line) } }
}
