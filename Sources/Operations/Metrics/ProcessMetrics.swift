import Linux

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The figures of `/proc` about this process, under the names that all Prometheus clients use.
package enum ProcessMetrics {
    package static func families() -> [MetricFamily] {
        let status = Stat(text(of: "/proc/self/stat"))
        var limit = rlimit()
        let hasLimit = unsafe getrlimit(__rlimit_resource_t(7), &limit) == 0
        let startTime = bootTime.flatMap { boot in status.map { boot + $0.startSeconds } }
        return [
            MetricFamily(MetricNames.cpuSeconds, status.map { .real($0.cpuSeconds) }),
            MetricFamily(MetricNames.residentMemory, status.map { .integer($0.residentBytes) }),
            MetricFamily(MetricNames.virtualMemory, status.map { .integer($0.virtualBytes) }),
            MetricFamily(MetricNames.openDescriptors, openDescriptors().map { .count($0) }),
            MetricFamily(MetricNames.descriptorLimit, hasLimit ? .integer(UInt64(limit.rlim_cur)) : nil),
            MetricFamily(MetricNames.startTime, startTime.map { .real($0) }),
        ]
    }

    /// The fields of proc(5)'s `stat` that matter.
    struct Stat {
        var cpuSeconds: Double
        /// The time of the start, in seconds since boot.
        var startSeconds: Double
        var virtualBytes: UInt64
        var residentBytes: UInt64

        /// The second field, a command's name in parentheses, may hold anything, parentheses too.
        init?(_ text: String) {
            guard let end = text.utf8.lastIndex(of: UInt8(ascii: ")")) else { return nil }
            // Field 3, the state, is the first here.
            let fields = text[text.utf8.index(after: end)...].split(separator: " ")
            guard fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]),
                let start = Double(fields[19]), let virtual = UInt64(fields[20]),
                let pages = UInt64(fields[21].filter { $0 != "\n" })
            else { return nil }
            let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
            cpuSeconds = (user + system) / ticks
            startSeconds = start / ticks
            virtualBytes = virtual
            residentBytes = pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
        }
    }

    private static let bootTime: Double? = text(of: "/proc/stat").split(separator: "\n")
        .first { $0.hasPrefix("btime ") }.flatMap { Double($0.dropFirst(6)) }

    private static func text(of path: String) -> String {
        String(decoding: FileContents.read(path) ?? [], as: UTF8.self)
    }

    /// The directory's own descriptor, which reading it needs, not counted.
    private static func openDescriptors() -> Int? {
        guard let stream = unsafe opendir("/proc/self/fd") else { return nil }
        defer { unsafe closedir(stream) }
        var count = -3
        while unsafe readdir(stream) != nil { count += 1 }
        return count
    }
}
