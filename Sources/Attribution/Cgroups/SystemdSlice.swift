/// The name of a systemd slice, taken apart: `kubelet-kubepods.slice` is the slice `kubepods` inside `kubelet.slice`.
struct SystemdSlice {
    /// The name without `.slice`.
    let stem: [UInt8]
    /// The parts between the dashes; never empty, and none of them is.
    let segments: [ArraySlice<UInt8>]

    init?(name: some BidirectionalCollection<UInt8>) {
        let suffix = ".slice"
        guard name.ends(with: suffix.utf8) else { return nil }
        self.stem = Array(name.dropLast(suffix.utf8.count))
        self.segments = self.stem.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard self.segments.allSatisfy({ !$0.isEmpty }) else { return nil }
    }

    /// The path at which systemd puts the slice below the cgroup that it manages (`systemd.slice(5)`, runc's
    /// `ExpandSlice`): `/kubelet.slice/kubelet-kubepods.slice`.
    var expandedPath: [UInt8] {
        var path: [UInt8] = []
        for segment in self.segments {
            path.append(.slash)
            path += self.stem[..<segment.endIndex]
            path += ".slice".utf8
        }
        return path
    }
}

extension BidirectionalCollection where Element == UInt8 {
    func ends(with suffix: some BidirectionalCollection<UInt8>) -> Bool {
        self.reversed().starts(with: suffix.reversed())
    }
}
