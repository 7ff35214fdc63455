// swift-tools-version: 6.2
import PackageDescription

/// The load generators, and the bare loop that is the floor of every server: C without dependencies. Whatever needs the
/// agent's own modules is in the package above (`request-cost`), which has compiled SwiftNIO already.
let programs = ["connect", "floor", "load", "visit"]

let package = Package(
    name: "Benchmarks",
    targets: programs.map { name in
        .executableTarget(
            name: name, path: "load", sources: ["\(name).c"], publicHeadersPath: ".",
            cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])],
            linkerSettings: [.linkedLibrary("pthread")])
    }
)
