import Attribution
import BPF
import Foundation
import NIOPosix
import Operations
import Settings
import Testing

@testable import Enforcement

/// Files in a directory that stands for the root of a node.
private func withRoot(_ body: (String) async throws -> Void) async throws {
    let root = FileManager.default.temporaryDirectory.path + "/root-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(
        atPath: root, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: root) }
    try await body(root)
}

private func makeUnits(below root: String) throws {
    try FileManager.default.createDirectory(atPath: root + "/etc/systemd/system", withIntermediateDirectories: true)
}

private func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

private let guarding = BootGuard(
    endpoints: [.ipv4(0xa9fe_a9fe)], protectedEndpoints: [], hostCgroups: ["system.slice"])

@Suite struct BootGuardUnitTests {
    private static let paths = [
        "/etc/podidentd/boot-guard.nft", "/etc/podidentd/boot-guard-cgroups.nft",
        "/etc/systemd/system/podidentd-boot-guard.service",
        "/etc/systemd/system/multi-user.target.wants/podidentd-boot-guard.service",
    ]
    private static let pins = "/sys/fs/bpf/elsewhere"

    @Test func `the unit and its rules are installed, replaced and removed as a whole`() async throws {
        try await withRoot { root in
            try makeUnits(below: root)
            let unit = BootGuardUnit(hostRoot: root)
            #expect(!unit.isInstalled)
            #expect(unit.remove() == [])
            #expect(try unit.install(guarding, pinDirectory: Self.pins) == Self.paths)
            #expect(unit.isInstalled)
            let wanted = [guarding.rules, guarding.cgroupRules, BootGuardUnit.unit(pinDirectory: Self.pins)]
            for (path, content) in zip(Self.paths, wanted) {
                #expect(try text(root + path) == content)
                let attributes = try FileManager.default.attributesOfItem(atPath: root + path)
                #expect(attributes[.posixPermissions] as? Int == 0o644)
            }
            let target = try FileManager.default.destinationOfSymbolicLink(atPath: root + Self.paths[3])
            #expect(target == "../podidentd-boot-guard.service")

            let other = BootGuard(endpoints: [.ipv4(0x0a00_0001)], protectedEndpoints: [], hostCgroups: [])
            #expect(try unit.install(other, pinDirectory: Self.pins) == Self.paths)
            #expect(try text(root + Self.paths[0]) == other.rules)

            #expect(unit.remove() == Self.paths.reversed().map { root + $0 })
            #expect(!unit.isInstalled)
            #expect(unit.remove() == [])
        }
    }

    @Test func `a unit that is not enabled is not installed, and is removed all the same`() async throws {
        try await withRoot { root in
            try makeUnits(below: root)
            let unit = BootGuardUnit(hostRoot: root)
            _ = try unit.install(guarding, pinDirectory: Self.pins)
            try FileManager.default.removeItem(atPath: root + Self.paths[3])
            #expect(!unit.isInstalled)
            #expect(unit.remove() == Self.paths.dropLast().reversed().map { root + $0 })
        }
    }

    @Test func `the unit comes before whatever starts pods, and does nothing where hooks are pinned`() {
        let lines = BootGuardUnit.unit(pinDirectory: Self.pins).split(separator: "\n")
        #expect(lines.contains("ConditionPathExists=!/sys/fs/bpf/elsewhere/links/connect4"))
        let before = lines.first { $0.hasPrefix("Before=") }?.dropFirst("Before=".count).split(separator: " ") ?? []
        #expect(before.count == 12 && before.allSatisfy { $0.hasSuffix(".service") })
        #expect(before.contains("kubelet.service") && before.contains("containerd.service"))
        // Only the rules that an older kernel does not know may fail.
        #expect(
            lines.filter { $0.hasPrefix("ExecStart=") } == [
                "ExecStart=/usr/bin/env nft -f /etc/podidentd/boot-guard.nft",
                "ExecStart=-/usr/bin/env nft -f /etc/podidentd/boot-guard-cgroups.nft",
            ])
    }

    @Test func `what cannot be written is named, and then nothing is enabled`() async throws {
        try await withRoot { root in
            let unit = BootGuardUnit(hostRoot: root)
            let strange = #expect(throws: AgentError.self) { try unit.install(guarding, pinDirectory: Self.pins) }
            #expect(strange?.description.hasSuffix("no such directory; does the node use systemd?") == true)
            #expect(try FileManager.default.contentsOfDirectory(atPath: root) == [])
            try makeUnits(below: root)
            try Data().write(to: URL(filePath: root + "/etc/podidentd"))
            let taken = #expect(throws: AgentError.self) { try unit.install(guarding, pinDirectory: Self.pins) }
            #expect(taken?.description.hasPrefix("cannot write \(root)/etc/podidentd/boot-guard.nft: ") == true)
            #expect(!unit.isInstalled)
        }
    }
}

/// Refusals, which come before anything is removed.
@Suite(.timeLimit(.minutes(10))) struct UninstallationTests {
    /// Stands for the removal of the machine's own tables, which these tests must not reach.
    private static func removeTable() -> String? {
        Issue.record("a table of the machine was to be removed")
        return nil
    }

    private static func objection(
        pins: String, socket: String, root: String
    ) -> String? {
        let error = #expect(throws: AgentError.self) {
            try Uninstallation.run(
                pinDirectory: pins, adminSocket: socket, hostRoot: root, isForced: false, tables: [Self.removeTable])
        }
        return error?.description
    }

    @Test func `nothing is removed while an agent answers at the socket, whatever pins it uses`() async throws {
        try await withRoot { root in
            try makeUnits(below: root)
            let unit = BootGuardUnit(hostRoot: root)
            _ = try unit.install(guarding, pinDirectory: root + "/pins")
            let socket = root + "/admin.sock"
            let listener = try await UnixListener.open(
                at: socket, ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton))
            let words = Self.objection(pins: root + "/pins", socket: socket, root: root)
            #expect(
                words?.hasPrefix("an agent answers at admin.socket \(socket), and does not use \(root)/pins") == true)
            #expect(words?.contains("--pin-directory") == true)
            #expect(unit.isInstalled && FileManager.default.fileExists(atPath: socket))
            await listener.close()
        }
    }

    @Test func `nothing is removed while an agent holds the pins, though it does not answer`() async throws {
        try await withRoot { root in
            try FileManager.default.createDirectory(atPath: root + "/pins/links", withIntermediateDirectories: true)
            try Data().write(to: URL(filePath: root + "/pins/links/connect4"))
            let lock = try #require(PinLock(existing: PinDirectory(path: root + "/pins")))
            let isHeld = try lock.tryAcquire()
            try #require(isHeld)
            let words = Self.objection(pins: root + "/pins", socket: root + "/admin.sock", root: root)
            #expect(words?.contains("runs with bpf.pin-directory \(root)/pins; stop it first, or use --force") == true)
            #expect(FileManager.default.fileExists(atPath: root + "/pins/links/connect4"))
        }
    }
}
