import Attribution
import Testing

@Suite struct KubepodsRootTests {
    struct Layout: CustomTestStringConvertible {
        var path: String
        var driver: KubepodsRoot.Driver
        var testDescription: String { self.path }
    }

    @Test(arguments: [
        Layout(path: "/kubepods", driver: .cgroupfs),
        Layout(path: "/kubelet/kubepods", driver: .cgroupfs),
        Layout(path: "/system.slice/kubelet.service/kubepods", driver: .cgroupfs),
        Layout(path: "/kubepods.slice", driver: .systemd),
        Layout(path: "/kubelet.slice/kubelet-kubepods.slice", driver: .systemd),
        Layout(path: "/system.slice/k3s.service/kubepods.slice", driver: .systemd),
        Layout(path: "/a.slice/a-b.slice/a-b-kubepods.slice", driver: .systemd),
    ])
    func `derives the driver from the path`(_ layout: Layout) throws {
        let root = try KubepodsRoot(layout.path)
        #expect(root.driver == layout.driver)
        #expect(root.description == layout.path)
    }

    struct Defect: CustomTestStringConvertible {
        var path: String
        var reason: KubepodsRootDefect
        var testDescription: String { self.path }
    }

    @Test(arguments: [
        Defect(path: "", reason: .notAbsolute),
        Defect(path: "kubepods", reason: .notAbsolute),
        Defect(path: "/", reason: .notCanonical),
        Defect(path: "/kubepods/", reason: .notCanonical),
        Defect(path: "//kubepods", reason: .notCanonical),
        Defect(path: "/./kubepods", reason: .notCanonical),
        Defect(path: "/x/../kubepods", reason: .notCanonical),
        Defect(path: "/x\u{0}/kubepods", reason: .notCanonical),
        Defect(path: "/" + String(repeating: "x", count: 4086) + "/kubepods", reason: .tooLong),
        Defect(path: "/pods", reason: .notKubepods),
        Defect(path: "/Kubepods", reason: .notKubepods),
        Defect(path: "/my-kubepods", reason: .notKubepods),
        Defect(path: "/kubepods.scope", reason: .notKubepods),
        Defect(path: "/xkubepods.slice", reason: .notKubepods),
        Defect(path: "/-kubepods.slice", reason: .notKubepods),
        Defect(path: "/a--kubepods.slice", reason: .notKubepods),
        Defect(path: "/kubepods.slice/kubepods-burstable.slice", reason: .notKubepods),
        Defect(
            path: "/kubelet-kubepods.slice",
            reason: .outsideParentSlices(expected: "/kubelet.slice/kubelet-kubepods.slice".bytes)
        ),
        Defect(
            path: "/b.slice/a-kubepods.slice",
            reason: .outsideParentSlices(expected: "/a.slice/a-kubepods.slice".bytes)
        ),
    ])
    func `refuses what no kubelet would have made, and says why`(_ defect: Defect) {
        #expect(throws: AttributionError.invalidKubepodsRoot(path: defect.path.bytes, reason: defect.reason)) {
            try KubepodsRoot(defect.path)
        }
    }

    @Test func `accepts the longest path and says what to do about a wrong one`() throws {
        let longest = "/" + String(repeating: "x", count: 4085) + "/kubepods"
        #expect(try KubepodsRoot(longest).driver == .cgroupfs)
        let error = AttributionError.invalidKubepodsRoot(
            path: "/a\n.slice/b-kubepods.slice".bytes,
            reason: .outsideParentSlices(expected: "/b.slice/b-kubepods.slice".bytes)
        )
        #expect(
            error.description == """
                kubepods cgroup root "/a\\n.slice/b-kubepods.slice" is a slice outside its parents: \
                systemd would place it at …/b.slice/b-kubepods.slice
                """
        )
    }

    @Test func `the defaults are both drivers, on a machine and in a kind node`() {
        #expect(
            KubepodsRoot.defaults.map(\.description) == [
                "/kubepods", "/kubepods.slice", "/kubelet/kubepods", "/kubelet.slice/kubelet-kubepods.slice",
            ]
        )
    }

    @Test(arguments: [
        "/kubepods/besteffort/pod\(PodUID.web)/\(container64a)",
        "/docker/\(container64b)/kubelet/kubepods/pod\(PodUID.web)",
        "/kubepods/pod\(PodUID.victim)/\(container64a)/kubelet/kubepods/burstable/pod\(PodUID.web)/\(container64b)/x",
    ])
    func `calibrates on the agent's own pod, wherever the node is nested`(_ path: String) throws {
        let root = try #require(KubepodsRoot.calibrated(by: path.bytes, of: .web))
        #expect(root.parse(path.bytes)?.uid == .web)
        #expect(root.parse(path.bytes + "/x".utf8)?.uid == .web)
    }

    @Test func `calibrates with the systemd driver in a delegated unit`() throws {
        let uid = "11111111_1111_4111_8111_111111111111"
        let path =
            "/system.slice/k3s.service/kubepods.slice/kubepods-pod\(uid).slice/cri-containerd-\(container64a).scope"
        let root = try #require(KubepodsRoot.calibrated(by: path.bytes, of: .web))
        #expect(root.description == "/system.slice/k3s.service/kubepods.slice")
    }

    @Test(arguments: [
        "", "/", "/kubepods", "/system.slice/podidentd.service",
        "/kubepods/besteffort/pod\(PodUID.victim)/\(container64a)",
        "/kubepods/pod\(PodUID.web)/\(container64a)/kubepods/pod\(PodUID.web)/\(container64b)",
    ])
    func `does not calibrate on no candidate, or on two`(_ path: String) {
        #expect(KubepodsRoot.calibrated(by: path.bytes, of: .web) == nil)
    }
}
