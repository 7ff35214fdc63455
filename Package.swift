// swift-tools-version: 6.2
import PackageDescription

/// Applied to every Swift target: the strictest the toolchain offers, and nothing silenced.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHPACK: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let asyncHTTPClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

let package = Package(
    name: "podidentd",
    products: [
        .executable(name: "podidentd", targets: ["podidentd"]),
        .executable(name: "podidentd-init", targets: ["podidentd-init"]),
        .executable(name: "podidentd-signer", targets: ["podidentd-signer"]),
        .executable(name: "podidentd-opener", targets: ["podidentd-opener"]),
        .executable(name: "podidentd-lab", targets: ["podidentd-lab"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
        .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.0"),
        // The signer and the lab sign; the agent makes keys for SVIDs and verifies what it is given, hashes token IDs and
        // session names, and authenticates its own session tokens.
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.0"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
    ],
    targets: [
        // The door to BPF in C. Only `BPF` imports these two.
        .systemLibrary(name: "CLibbpf", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev", "libelf-dev"])]),
        .target(name: "CBPFPrograms", dependencies: ["CLibbpf"]),
        .target(
            name: "BPF", dependencies: ["Linux", "CLibbpf", "CBPFPrograms", "Netlink", "Attribution"],
            swiftSettings: strict
        ),
        // What Swift lacks of the C library and the kernel: texts of errors, peers of sockets.
        .target(name: "Linux", swiftSettings: strict),
        // nftables in the kernel's own words, for the guard where BPF cannot be one. Knows nothing of ours.
        .target(name: "Netlink", dependencies: ["Linux"], swiftSettings: strict),

        // The door to the kernel's ways of giving up rights. Only `Hardening` imports it.
        .target(name: "CHardening", cSettings: [.define("_GNU_SOURCE")]),
        .target(name: "Hardening", dependencies: ["CHardening"], swiftSettings: strict),

        // The core: values and decisions, no I/O.
        .target(name: "Attribution", swiftSettings: strict),
        .target(name: "Tokens", dependencies: ["Attribution"], swiftSettings: strict),

        // What SwiftNIO's event loops lack. Knows nothing of ours.
        .target(name: "EventLoops", dependencies: [nioCore], swiftSettings: strict),

        // HTTP to upstreams, with a limit on everything: what the two clients below share, and nothing of what they say.
        .target(
            name: "UpstreamHTTP",
            dependencies: ["EventLoops", "Tokens", asyncHTTPClient, nioCore, nioPosix, nioHTTP1, nioSSL],
            swiftSettings: strict
        ),

        // Adapters: each knows the core and one part of the outside, never another adapter.
        .target(
            name: "KubernetesAPI",
            dependencies: [
                "Linux",
                "Attribution", "Tokens", "UpstreamHTTP", nioCore, nioPosix, nioHTTP1, nioSSL, logging, yams,
            ],
            swiftSettings: strict
        ),
        .target(
            name: "TokenExchange",
            dependencies: [
                "Attribution", "Tokens", "UpstreamHTTP", nioCore, nioHTTP1, nioSSL,
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: strict
        ),
        .target(name: "CSockets", cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "MetadataServer",
            dependencies: [
                "Linux",
                "CSockets", "EventLoops", "Attribution", "Tokens", nioCore, nioPosix, nioHTTP1, logging,
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Operations",
            dependencies: ["Linux", "Attribution", "Tokens", nioCore, nioPosix, nioHTTP1, logging],
            swiftSettings: strict
        ),

        // SPIFFE: what IDs, certificates, tokens and bundles are (values, no I/O), the endpoint that pods ask, and the agent's
        // way to the signer.
        .target(
            name: "SpiffeIdentity", dependencies: ["Attribution", "Tokens", x509, asn1, crypto], swiftSettings: strict),
        .target(
            name: "SpiffeWorkload",
            dependencies: [
                "Attribution", "SpiffeIdentity", nioCore, nioPosix, nioHTTP2, nioHPACK, logging,
            ],
            swiftSettings: strict
        ),
        .target(
            name: "SignerExchange",
            dependencies: [
                "Attribution", "SpiffeIdentity", "Tokens", "UpstreamHTTP", nioCore, nioHTTP1, nioSSL,
            ],
            swiftSettings: strict
        ),

        // The only holder of keys, a process of its own beside the API server.
        .target(
            name: "Signer",
            dependencies: [
                "KubernetesAPI", "Operations", "SpiffeIdentity", "Tokens", x509, asn1, crypto, nioCore, nioPosix,
                nioHTTP1,
                nioSSL, logging,
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "podidentd-signer",
            dependencies: [
                "KubernetesAPI", "Operations", "Signer", "SpiffeIdentity", logging, nioPosix,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict,
            linkerSettings: [.unsafeFlags(["-use-ld=lld"])]
        ),

        // What an operator sets: keys, values, errors, and a configuration that is read again.
        .target(
            name: "Settings",
            dependencies: [
                "Attribution", "BPF", "KubernetesAPI", "Operations", "Tokens", nioPosix, logging, yams,
                "SpiffeIdentity",
            ],
            swiftSettings: strict
        ),
        // What the settings make of Google, and the clouds beside Google.
        .target(
            name: "Clouds",
            dependencies: [
                "Attribution", "MetadataServer", "Operations", "Settings", "TokenExchange", "Tokens", logging,
            ],
            swiftSettings: strict
        ),
        // What the agent records of its own work: audit records, counters, incidents.
        .target(
            name: "Telemetry",
            dependencies: [
                "Linux",
                "Attribution", "KubernetesAPI", "MetadataServer", "Operations", "Settings", "Tokens", logging, crypto,
                nioPosix,
            ],
            swiftSettings: strict
        ),
        // Restarts without a gap: sockets that pass from an agent to its successor, or to podidentd-init and back.
        .target(
            name: "Restart",
            dependencies: [
                "Linux",
                "Attribution", "BPF", "EventLoops", "Operations", "Settings", "Telemetry", nioCore,
                nioPosix,
                logging, .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        // Keeps the kernel's side true: hooks, cgroups, policies, listeners in pods' namespaces, and the proof of them.
        .target(
            name: "Enforcement",
            dependencies: [
                "Linux",
                "Attribution", "BPF", "EventLoops", "MetadataServer", "Operations",
                "Restart",
                "Settings", "Telemetry", nioPosix, logging, nioCore,
            ],
            swiftSettings: strict
        ),
        // What the agent reads from its Node object, and the taint that it removes from it.
        .target(
            name: "NodeObject",
            dependencies: [
                "Clouds", "KubernetesAPI", "MetadataServer", "Settings", "Tokens", logging,
            ],
            swiftSettings: strict
        ),
        // What an operator asks: check, explain, the debug views, readiness and liveness.
        .target(
            name: "Diagnostics",
            dependencies: [
                "Linux",
                "Attribution", "BPF", "Clouds", "Enforcement", "KubernetesAPI", "MetadataServer", "Operations",
                "Settings",
                "Telemetry", "TokenExchange", "Tokens", "UpstreamHTTP", nioPosix, logging, "CSockets", "Netlink",
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),

        // The composition root: puts the parts together, starts and stops them. And the command line in front of it.
        .target(
            name: "Agent",
            dependencies: [
                "Attribution", "Tokens", "BPF", "Clouds", "Diagnostics", "Enforcement", "EventLoops", "UpstreamHTTP",
                "KubernetesAPI", "MetadataServer", "NodeObject", "Operations", "Restart", "Settings", "SignerExchange",
                "SpiffeIdentity", "SpiffeWorkload", "Telemetry", "TokenExchange", "CSockets",
                nioCore, nioPosix, logging,
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "podidentd",
            dependencies: [
                "Linux",
                "Agent", "Attribution", "BPF", "Clouds", "Diagnostics", "Enforcement", "Hardening", "Operations",
                "Restart",
                "Settings", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict,
            // Keeps read-only data out of the writable segment, so that it is never the process's own memory.
            linkerSettings: [.unsafeFlags(["-use-ld=lld"])]
        ),

        // The container's first process: C alone, because it holds the listening sockets while the agent is restarted, and
        // is to take next to no memory.
        .executableTarget(
            name: "podidentd-init", cSettings: [.define("_GNU_SOURCE")],
            // Without the Swift libraries, which the driver names for every program.
            linkerSettings: [.unsafeFlags(["-nostartfiles", "-static-executable"])]
        ),

        // Enters the pods' network namespaces for the agent: C alone, because it holds the rights that the agent has not.
        .executableTarget(
            name: "podidentd-opener", cSettings: [.define("_GNU_SOURCE")],
            linkerSettings: [.unsafeFlags(["-nostartfiles", "-static-executable"])]
        ),

        // Everything around the agent, on one machine.
        .target(name: "CLabShims", path: "Lab/CLabShims"),
        .target(
            name: "Lab",
            dependencies: [
                "CLabShims", nioCore, nioPosix, nioHTTP1, nioHTTP2, nioHPACK, nioSSL,
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "_CryptoExtras", package: "swift-crypto"),
            ],
            path: "Lab/Lab",
            swiftSettings: strict
        ),
        .executableTarget(
            name: "podidentd-lab",
            dependencies: [
                "Lab", nioCore, .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            path: "Lab/podidentd-lab",
            swiftSettings: strict
        ),

        // What the lab's hostile pods run: bare system calls, hence C.
        .executableTarget(
            name: "lab-attack", path: "Lab/LabAttack", cSettings: [.define("_GNU_SOURCE")],
            linkerSettings: [.linkedLibrary("pthread")]
        ),

        // What a cached token costs, counted in instructions: see .ci/cost.
        .executableTarget(
            name: "request-cost",
            dependencies: ["Attribution", "MetadataServer", "Tokens", nioCore, nioPosix, logging],
            path: "Benchmarks/request-cost",
            swiftSettings: strict
        ),

        // Inputs from a seed: what the fuzz tests of parsers stand on.
        .target(name: "Fuzzing", path: "Tests/Fuzzing", swiftSettings: strict),
        .testTarget(
            name: "AttributionTests",
            dependencies: ["Attribution", "Fuzzing"],
            resources: [.copy("Fixtures"), .copy("Corpus")],
            swiftSettings: strict
        ),
        .testTarget(name: "TokensTests", dependencies: ["Tokens", "Attribution", "Fuzzing"], swiftSettings: strict),
        // A scripted HTTPS server and certificates: what the tests of the two clients stand on.
        .target(
            name: "UpstreamTesting",
            dependencies: [
                nioCore, nioPosix, nioHTTP1, nioSSL,
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            path: "Tests/UpstreamTesting",
            swiftSettings: strict
        ),
        .testTarget(
            name: "UpstreamHTTPTests",
            dependencies: ["UpstreamHTTP", "Tokens", "UpstreamTesting", nioCore, nioHTTP1],
            swiftSettings: strict
        ),
        .testTarget(
            name: "KubernetesAPITests",
            dependencies: [
                "KubernetesAPI", "Attribution", "Tokens", "UpstreamHTTP", "UpstreamTesting", "Fuzzing", nioCore,
                nioHTTP1, logging,
            ],
            resources: [.copy("Corpus")],
            swiftSettings: strict
        ),
        .testTarget(
            name: "TokenExchangeTests",
            dependencies: ["TokenExchange", "Attribution", "Tokens", "UpstreamTesting", nioHTTP1],
            swiftSettings: strict
        ),
        .testTarget(
            name: "MetadataServerTests",
            dependencies: [
                "MetadataServer", "EventLoops", "Fuzzing", nioPosix,
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            resources: [.copy("Corpus")],
            swiftSettings: strict
        ),
        .testTarget(
            name: "SignerTests",
            dependencies: [
                "Signer", "SpiffeIdentity", "KubernetesAPI", "Tokens", "Fuzzing", x509, asn1, crypto, logging,
                .product(name: "_CryptoExtras", package: "swift-crypto"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "SpiffeWorkloadTests",
            dependencies: [
                "SpiffeWorkload", "SpiffeIdentity", "Signer", "Attribution", "Fuzzing", x509, asn1, crypto, nioCore,
                nioPosix,
                nioHPACK,
            ],
            swiftSettings: strict
        ),
        // Strict readers of what the agent exposes: metrics, and the queries that are made of them.
        .target(
            name: "MetricsTesting", dependencies: ["Operations"], path: "Tests/MetricsTesting", swiftSettings: strict),
        .target(
            name: "CHardeningTestShims", path: "Tests/CHardeningTestShims", cSettings: [.define("_GNU_SOURCE")]),
        .testTarget(
            name: "HardeningTests", dependencies: ["Hardening", "CHardeningTestShims"], swiftSettings: strict),
        .testTarget(
            name: "OperationsTests",
            dependencies: [
                "Operations", "Attribution", "Fuzzing", "MetricsTesting", "Tokens", nioCore, nioPosix, nioHTTP1,
                logging, yams,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "OpenerTests", dependencies: ["BPF", "Enforcement", "Lab", "Settings"], swiftSettings: strict),
        .testTarget(
            name: "AgentTests",
            dependencies: [
                "Linux",
                "Agent", "Attribution", "BPF", "Clouds", "Diagnostics", "Enforcement", "KubernetesAPI",
                "MetadataServer",
                "NodeObject", "Operations", "Restart", "Settings", "Telemetry", "Tokens", logging,
            ],
            swiftSettings: strict),
        // What the documents say, held against the code and the programs.
        .testTarget(
            name: "DocumentationTests", dependencies: ["Clouds", "Operations", "Settings", yams], swiftSettings: strict),
        .testTarget(
            name: "LabTests",
            dependencies: ["Lab", asyncHTTPClient, nioCore, nioHTTP1, nioSSL],
            swiftSettings: strict
        ),
        .target(name: "CBPFTestPrograms", dependencies: ["CLibbpf", "CBPFPrograms"], path: "Tests/CBPFTestPrograms"),
        .testTarget(
            name: "KernelTests",
            dependencies: ["BPF", "Attribution", "Lab", "CLibbpf", "CBPFPrograms", "CBPFTestPrograms"],
            swiftSettings: strict
        ),
        .testTarget(name: "ClientTests", dependencies: ["Lab", nioHTTP1], swiftSettings: strict),
        .testTarget(
            name: "EndToEndTests", dependencies: ["Operations", "Lab", "MetricsTesting"], swiftSettings: strict),
        // The same world with everything around the agent broken; shares some files of the former by symbolic links.
        .testTarget(
            name: "FaultTests", dependencies: ["Operations", "Lab", "CLibbpf", "CBPFTestPrograms"],
            path: "Tests/Faults", exclude: ["Shims"], swiftSettings: strict
        ),
    ]
)
