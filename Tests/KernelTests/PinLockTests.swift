import Foundation
import Lab
import Testing

@testable import BPF

@Suite(.serialized, .timeLimit(.minutes(10)))
struct PinLockTests {
    /// Runs `body` with a BPF file system of its own.
    private func withFileSystem(_ body: (PinDirectory) async throws -> Void) async throws {
        let path = "/run/podidentd-test-\(getpid())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try await Command.require(["mount", "-t", "bpf", "bpf", path])
        do {
            try await body(PinDirectory(path: path + "/pins"))
        } catch {
            _ = try? await Command.run(["umount", path])
            throw error
        }
        try await Command.require(["umount", path])
        try FileManager.default.removeItem(atPath: path)
    }

    @Test("one holder at a time, known by its PID, and free when it ends")
    func exclusive() async throws {
        try await withFileSystem { pins in
            do {
                let first = try PinLock(pins)
                #expect(first.holder == nil)
                #expect(try first.tryAcquire())
                let second = try #require(PinLock(existing: pins))
                #expect(try !second.tryAcquire())
                #expect(second.holder == getpid())
                first.release()
                #expect(second.holder == nil)
                #expect(try second.tryAcquire())
                #expect(try !first.tryAcquire())
            }
            #expect(try PinLock(pins).tryAcquire())
            #expect(try pins.remove().isEmpty)
        }
    }

    @Test("the directory's proof is for the holder of the lock alone, and the lock file proves less")
    func directoryProof() async throws {
        try await withFileSystem { pins in
            do {
                let (first, second) = (try PinLock(pins), try PinLock(pins))
                #expect(second.openDirectoryProof(forHolder: getpid()) == nil)
                #expect(try first.tryAcquire())
                #expect(second.openDirectoryProof(forHolder: 1) == nil)
                #expect(second.openDirectoryProof(forHolder: 0) == nil)
                let proof = try #require(second.openDirectoryProof(forHolder: getpid()))
                let file = try second.openProof()
                defer { for descriptor in [proof, file] { close(descriptor) } }
                #expect(first.isDirectoryProven(by: proof) && !first.isDirectoryProven(by: file))
                #expect(first.isProven(by: file) && !first.isProven(by: proof))
            }
            #expect(try pins.remove().isEmpty)
        }
    }

    @Test("a directory that was removed meanwhile is made and locked again")
    func removed() async throws {
        try await withFileSystem { pins in
            let late = try PinLock(pins)
            #expect(try pins.remove().isEmpty)
            #expect(PinLock(existing: pins) == nil)
            #expect(try late.tryAcquire())
            let other = try #require(PinLock(existing: pins))
            #expect(try !other.tryAcquire())
            #expect(try pins.remove().isEmpty)
        }
    }

    @Test("a line of /proc/locks names the holder of exactly one directory")
    func lines() {
        let line = "12: FLOCK  ADVISORY  WRITE 21730 00:27:5511785 0 EOF"
        #expect(LockTable.holder(in: line, device: 0x27, inode: 5_511_785) == 21730)
        #expect(LockTable.holder(in: line, device: 0x28, inode: 5_511_785) == nil)
        #expect(LockTable.holder(in: line, device: 0x27, inode: 5_511_786) == nil)
        // Minor numbers over 255 lie on both sides of the major one.
        #expect(LockTable.holder(in: "1: FLOCK ADVISORY WRITE 7 08:101:5 0 EOF", device: 0x10_0801, inode: 5) == 7)
        #expect(LockTable.holder(in: "1: -> FLOCK ADVISORY WRITE 7 00:27:5 0 EOF", device: 0x27, inode: 5) == nil)
        #expect(LockTable.holder(in: "1: POSIX ADVISORY WRITE 7 00:27:5 0 EOF", device: 0x27, inode: 5) == nil)
        #expect(LockTable.holder(in: "1: FLOCK ADVISORY WRITE 0 00:27:5 0 EOF", device: 0x27, inode: 5) == nil)
        #expect(LockTable.holder(in: "", device: 0x27, inode: 5) == nil)
    }
}
