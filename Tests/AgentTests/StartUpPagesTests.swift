import Foundation
import Testing

@testable import Agent

struct StartUpPagesTests {
    @Test("a burst ends once, at the first look that finds nothing new")
    func quiet() {
        var plan = QuietPlan(5)
        let looks = [5, 5, 9, 12, 12, 12, 13, 13].map { plan.isQuiet(at: $0) }
        #expect(looks == [false, false, false, false, true, false, false, true])
    }

    @Test("only what shows a file unchanged is let go")
    func unchanged() {
        let smaps = """
            555555400000-555555600000 r--p 00000000 fe:00 77                        /usr/bin/podidentd
            Size:               2048 kB
            Rss:                1024 kB
            Anonymous:             0 kB
            VmFlags: rd mr mw me sd
            555555600000-555555a00000 r-xp 00200000 fe:00 77                        /usr/bin/podidentd
            Anonymous:             0 kB
            555555a00000-555555b00000 r--p 00600000 fe:00 77                        /usr/bin/podidentd
            Anonymous:           512 kB
            555555b00000-555555c00000 rw-p 00700000 fe:00 77                        /usr/bin/podidentd
            Anonymous:             0 kB
            555555d00000-555555e00000 rw-p 00000000 00:00 0                         [heap]
            Anonymous:             0 kB
            7ffff0000000-7ffff0001000 r--s 00000000 00:0f 1048                      anon_inode:bpf-map
            Anonymous:             0 kB
            7ffff1000000-7ffff1001000 r--s 00000000 fe:00 78                        /shared
            Anonymous:             0 kB
            7ffff7fc1000-7ffff7fc5000 r--p 00000000 00:00 0                         [vvar]
            Anonymous:             0 kB
            7ffff7fc5000-7ffff7fc7000 r-xp 00000000 00:00 0                         [vdso]
            Anonymous:             0 kB
            7ffff7fc7000-7ffff7fc8000 r-xp 00000000 fe:00 79                        /usr/lib/with space.so
            Anonymous:             0 kB
            """
        #expect(
            StartUpPages.unchanged(in: smaps) == [
                .init(start: 0x5555_5540_0000, length: 0x20_0000), .init(start: 0x5555_5560_0000, length: 0x40_0000),
                .init(start: 0x7fff_f7fc_7000, length: 0x1000),
            ])
        for text in [
            "", "\n", "Anonymous: 0 kB", "zz-yy r-xp 0 0:0 1 /x\nAnonymous: 0 kB",
            "2-1 r-xp 0 0:0 1 /x\nAnonymous: 0 kB",
        ] {
            #expect(StartUpPages.unchanged(in: text) == [])
        }
    }

    @Test("the resident set shrinks, and the program goes on")
    func release() throws {
        let before = try residentFilePages()
        #expect(StartUpPages.release() > 1 << 20)
        let after = try residentFilePages()
        #expect(after < before, "\(before) before, \(after) after")
        #expect("the program".uppercased() == "THE PROGRAM" && (try? JSONEncoder().encode(["a": 1])) != nil)
    }

    private func residentFilePages() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssFile:") })
        return try #require(Int(line.split(separator: " ")[1]))
    }
}
