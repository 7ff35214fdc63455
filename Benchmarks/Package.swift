// swift-tools-version: 6.2
import PackageDescription

/// The load generators, and the bare loop that is the floor of every server: C without dependencies but libbpf. Whatever needs the
/// agent's own modules is in the package above (`request-cost`), which has compiled SwiftNIO already.
let programs = ["floor", "listeners", "load", "visit"]

let package = Package(
    name: "Benchmarks",
    targets: programs.map { name in
        .executableTarget(
            name: name, path: "load", sources: ["\(name).c"], publicHeadersPath: ".",
            cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])],
            linkerSettings: [.linkedLibrary("pthread")])
    } + [
        // Attaches kernel programs of any build.
        .executableTarget(
            name: "hooks", path: "load/hooks", exclude: ["empty.bpf.c"], publicHeadersPath: ".",
            cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])],
            linkerSettings: [.linkedLibrary("bpf")])
    ]
)
