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

/// Prefers small code, for modules that no cached answer passes through.
let small: [SwiftSetting] = strict + [.unsafeFlags(["-Osize"], .when(configuration: .release))]

/// Swift's static libraries as .ci/release makes them, or those of the toolchain.
let swiftResources = Context.environment["PODIDENTD_SWIFT_RESOURCES"].map { ["-resource-dir", $0] } ?? []

/// Links the programs of the images. A release exports no symbol, so that the linker can leave out functions without a
/// caller. It packs the relocations, and .ci/release.ld leaves out the tables for unwinding.
let imageLinking: [LinkerSetting] = [
    // lld keeps read-only data out of the writable segment, so that it is never the process's own memory.
    .unsafeFlags(["-use-ld=lld"]),
    .unsafeFlags(
        swiftResources
            + [
                "--no-export-dynamic", "-z", "pack-relative-relocs", "--no-eh-frame-hdr",
                "\(Context.packageDirectory)/.ci/release.ld",
            ].flatMap { ["-Xlinker", $0] },
        .when(configuration: .release)
    ),
]

/// Links the kubectl plugin, which goes to people's own machines, without a library to load, where .ci/release has made Swift's.
/// It keeps the tables for unwinding: a C library that is inside a program cannot end a thread without them.
let pluginLinking: [LinkerSetting] =
    swiftResources.isEmpty
    ? [] : [.unsafeFlags(["-use-ld=lld", "-static-executable"] + swiftResources, .when(configuration: .release))]

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHPACK: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let asyncHTTPClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "podidentd",
    products: [
        .executable(name: "podidentd", targets: ["podidentd"]),
        .executable(name: "podidentd-init", targets: ["podidentd-init"]),
        .executable(name: "podidentd-signer", targets: ["podidentd-signer"]),
        .executable(name: "podidentd-opener", targets: ["podidentd-opener"]),
        .executable(name: "kubectl-podidentd", targets: ["kubectl-podidentd"]),
        .executable(name: "podidentd-lab", targets: ["podidentd-lab"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-http2.git", exact: "1.46.0"),
        .package(url: "https://github.com/swift-server/async-http-client.git", exact: "1.37.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log.git", exact: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", exact: "2.13.0"),
        // The signer and the lab sign; the agent makes keys for SVIDs and verifies what it is given, hashes token IDs and
        // session names, and authenticates its own session tokens.
        .package(url: "https://github.com/apple/swift-certificates.git", exact: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1.git", exact: "1.7.4"),
        .package(url: "https://github.com/apple/swift-crypto.git", exact: "4.5.2"),
    ],
    targets: [
        // The door to BPF in C. Only `BPF` imports these two.
        .systemLibrary(name: "CLibbpf", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev", "libelf-dev"])]),
        .target(name: "CBPFPrograms", dependencies: ["CLibbpf"]),
        .target(
            name: "BPF", dependencies: ["Linux", "CLibbpf", "CBPFPrograms", "Netlink", "Attribution"],
            swiftSettings: strict
        ),
        // Calls of the C library and the kernel that Swift has no form of: texts of errors, peers of sockets.
        .target(name: "Linux", swiftSettings: strict),
        // nftables in the kernel's own words, for the guard where BPF cannot be one. No type of the product is in it.
        .target(name: "Netlink", dependencies: ["Linux"], swiftSettings: strict),

        // The door to libyaml. Only `YAML` imports it, and only `YAML` reads configuration files.
        .systemLibrary(name: "CLibYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .target(name: "YAML", dependencies: ["CLibYAML", "Text"], swiftSettings: small),

        // The door to the kernel's ways of giving up rights. Only `Hardening` imports it.
        .target(name: "CHardening", cSettings: [.define("_GNU_SOURCE")]),
        .target(name: "Hardening", dependencies: ["CHardening"], swiftSettings: strict),

        // Quotes text and makes it fit for terminals. No type of the product is in it.
        .target(name: "Text", swiftSettings: small),

        // The core: values and decisions, no I/O.
        .target(name: "Attribution", swiftSettings: strict),
        .target(name: "Tokens", dependencies: ["Attribution"], swiftSettings: strict),

        // An executor on SwiftNIO's event loops. No type of the product is in it.
        .target(name: "EventLoops", dependencies: [nioCore], swiftSettings: strict),

        // HTTP to upstreams, with a limit on everything: the part that all clients below share.
        .target(
            name: "UpstreamHTTP",
            dependencies: ["EventLoops", "Text", "Tokens", asyncHTTPClient, nioCore, nioPosix, nioHTTP1, nioSSL],
            swiftSettings: strict
        ),

        // Adapters: each knows the core and one part of the outside, never another adapter.
        .target(
            name: "KubernetesAPI",
            dependencies: [
                "Linux", "Text", "YAML",
                "Attribution", "Tokens", "UpstreamHTTP", nioCore, nioPosix, nioHTTP1, nioSSL, logging,
            ],
            swiftSettings: small
        ),
        // The exchange at a cloud's token service: a module each, of what they share.
        .target(name: "TokenExchange", dependencies: ["Tokens", "UpstreamHTTP", nioSSL], swiftSettings: strict),
        .target(
            name: "GoogleTokenExchange",
            dependencies: ["Text", "TokenExchange", "Tokens", "UpstreamHTTP", nioCore, nioHTTP1],
            swiftSettings: strict
        ),
        .target(
            name: "AWSSecurityTokenService",
            dependencies: ["Attribution", "TokenExchange", "Tokens", "UpstreamHTTP", nioCore, nioHTTP1, crypto],
            swiftSettings: strict
        ),
        .target(
            name: "EntraTokenExchange",
            dependencies: ["Attribution", "TokenExchange", "Tokens", "UpstreamHTTP", nioCore, nioHTTP1],
            swiftSettings: strict
        ),
        // The metadata protocols: a module each, of what rooms are made of. None knows another, nor the server.
        .target(
            name: "MetadataProtocol",
            dependencies: ["Attribution", "EventLoops", "Text", "Tokens", nioCore, nioHTTP1, crypto],
            swiftSettings: strict
        ),
        .target(
            name: "GoogleMetadata",
            dependencies: ["Attribution", "EventLoops", "MetadataProtocol", "Text", "Tokens", nioHTTP1],
            swiftSettings: strict
        ),
        .target(
            name: "AWSInstanceMetadata",
            dependencies: ["Attribution", "MetadataProtocol", "Text", "Tokens", nioHTTP1],
            swiftSettings: strict
        ),
        .target(
            name: "AzureInstanceMetadata",
            dependencies: ["Attribution", "MetadataProtocol", "Text", "Tokens", nioHTTP1],
            swiftSettings: strict
        ),
        .target(name: "CSockets", cSettings: [.define("_GNU_SOURCE")]),
        // Accepts and answers, in the protocols of the rooms that it is given.
        .target(
            name: "MetadataServer",
            dependencies: [
                "Attribution", "CSockets", "EventLoops", "Linux", "MetadataProtocol", "Tokens", nioCore, nioPosix,
                nioHTTP1, logging,
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Operations",
            dependencies: ["Linux", "Attribution", "Text", "Tokens", nioCore, nioPosix, nioHTTP1, logging],
            swiftSettings: small
        ),

        // SPIFFE: what IDs, certificates, tokens and bundles are (values, no I/O), the endpoint that pods ask, and the agent's
        // way to the signer.
        .target(
            name: "SpiffeIdentity", dependencies: ["Attribution", "Text", "Tokens", x509, asn1, crypto],
            swiftSettings: small),
        .target(
            name: "SpiffeWorkload",
            dependencies: [
                "Attribution", "SpiffeIdentity", nioCore, nioPosix, nioHPACK, logging,
            ],
            swiftSettings: strict
        ),
        .target(
            name: "SignerExchange",
            dependencies: [
                "Attribution", "SpiffeIdentity", "Tokens", "UpstreamHTTP", nioCore, nioHTTP1, nioSSL,
            ],
            swiftSettings: small
        ),

        // The only holder of keys, a process of its own beside the API server.
        .target(
            name: "Signer",
            dependencies: [
                "KubernetesAPI", "Operations", "SpiffeIdentity", "Tokens", x509, asn1, crypto, nioCore, nioPosix,
                nioHTTP1,
                nioSSL, logging,
            ],
            swiftSettings: small
        ),
        .executableTarget(
            name: "podidentd-signer",
            dependencies: [
                "KubernetesAPI", "Operations", "Signer", "SpiffeIdentity", logging, nioPosix,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: small,
            linkerSettings: imageLinking
        ),

        // The configuration: keys, values, errors, and reading it again.
        .target(
            name: "Settings",
            dependencies: [
                "Attribution", "BPF", "KubernetesAPI", "Operations", "Tokens", nioPosix, logging, "YAML",
                "SpiffeIdentity",
            ],
            swiftSettings: small
        ),
        // The clouds, as the configuration sets them up.
        .target(
            name: "Clouds",
            dependencies: [
                "AWSInstanceMetadata", "AWSSecurityTokenService", "Attribution", "AzureInstanceMetadata",
                "EntraTokenExchange", "GoogleMetadata", "GoogleTokenExchange", "MetadataProtocol", "Operations",
                "Settings", "Tokens", logging,
            ],
            swiftSettings: small
        ),
        // Records of the agent's own work: audit, counters, incidents.
        .target(
            name: "Telemetry",
            dependencies: [
                "Linux",
                "Attribution", "EventLoops", "KubernetesAPI", "MetadataProtocol", "MetadataServer", "Operations",
                "Settings", "Tokens", logging, crypto, nioPosix,
            ],
            swiftSettings: small
        ),
        // Restarts without a gap: sockets that pass from an agent to its successor, or to podidentd-init and back.
        .target(
            name: "Restart",
            dependencies: [
                "Linux",
                "Attribution", "BPF", "EventLoops", "Operations", "Settings", "Telemetry", "Tokens", nioCore,
                nioPosix,
                logging, .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: small
        ),
        // Keeps the kernel's side true: hooks, cgroups, policies, listeners in pods' namespaces, and the proof of them.
        .target(
            name: "Enforcement",
            dependencies: [
                "Linux",
                "Attribution", "BPF", "EventLoops", "MetadataProtocol", "MetadataServer", "Operations",
                "Restart",
                "Settings", "Telemetry", "Tokens", nioPosix, logging, nioCore,
            ],
            swiftSettings: small
        ),
        // The agent's Node object: attributes that it reads, and the taint that it removes.
        .target(
            name: "NodeObject",
            dependencies: [
                "Clouds", "EventLoops", "GoogleMetadata", "KubernetesAPI", "Settings", "Text", "Tokens", logging,
            ],
            swiftSettings: small
        ),
        // Answers to operators: check, explain, the debug endpoints, readiness and liveness.
        .target(
            name: "Diagnostics",
            dependencies: [
                "Linux", "Text",
                "Attribution", "BPF", "Clouds", "Enforcement", "GoogleMetadata", "GoogleTokenExchange", "KubernetesAPI",
                "MetadataProtocol", "MetadataServer", "Operations", "Settings", "Telemetry", "Tokens", "UpstreamHTTP",
                nioPosix, logging, "CSockets", "Netlink",
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: small
        ),

        // SPIFFE in the agent: certificates from the signer, the endpoint's service, metadata through TLS.
        .target(
            name: "SpiffeEndpoint",
            dependencies: [
                "Attribution", "BPF", "EventLoops", "KubernetesAPI", "MetadataServer", "Operations",
                "Settings", "SignerExchange", "SpiffeIdentity", "SpiffeWorkload", "Telemetry", "Tokens", nioCore,
                nioPosix, nioSSL, nioTLS, logging,
            ],
            swiftSettings: small
        ),

        // The composition root: puts the parts together, starts and stops them. And the command line in front of it.
        .target(
            name: "Agent",
            dependencies: [
                "Attribution", "Tokens", "BPF", "Clouds", "Diagnostics", "Enforcement", "EventLoops", "UpstreamHTTP",
                "GoogleTokenExchange", "Hardening", "KubernetesAPI", "MetadataProtocol", "MetadataServer", "NodeObject",
                "Operations", "Restart", "Settings", "SpiffeEndpoint", "Telemetry", nioPosix, logging,
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
            swiftSettings: small,
            linkerSettings: imageLinking
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

        // The kubectl plugin: the agents of a whole cluster, asked by kubectl.
        .target(name: "KubectlPlugin", dependencies: ["KubernetesAPI", "Operations", "Text"], swiftSettings: strict),
        .executableTarget(
            name: "kubectl-podidentd",
            dependencies: [
                "KubectlPlugin", "Linux", "Operations", "Text",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict,
            linkerSettings: pluginLinking
        ),

        // Everything around the agent, on one machine.
        .target(name: "CLabShims", path: "Lab/CLabShims"),
        .target(
            name: "Lab",
            dependencies: [
                "CLabShims", nioCore, nioPosix, nioHTTP1, nioHTTP2, nioHPACK, nioSSL, nioTLS,
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "_CryptoExtras", package: "swift-crypto"),
            ],
            path: "Lab/Lab",
            swiftSettings: strict
        ),
        // The agent's decisions in a simulated world: no thread, no socket, no real time; the same seed, the same trace.
        .target(
            name: "Simulation",
            dependencies: [
                "Attribution", "EventLoops", "GoogleMetadata", "GoogleTokenExchange", "KubernetesAPI",
                "MetadataProtocol", "MetadataServer", "Telemetry", "Tokens",
                "UpstreamHTTP", "VirtualTime", nioCore, nioHTTP1, nioSSL, logging,
            ],
            path: "Lab/Simulation",
            swiftSettings: strict
        ),
        // One thread, one queue of events, and a clock that nothing waits for.
        .target(name: "VirtualTime", dependencies: [nioCore], path: "Lab/VirtualTime", swiftSettings: strict),
        // The token services of thousands of nodes in virtual time, before upstreams with quotas.
        .target(
            name: "Fleet", dependencies: ["Attribution", "Tokens", "VirtualTime"], path: "Lab/Fleet",
            swiftSettings: strict),
        .executableTarget(
            name: "podidentd-lab",
            dependencies: [
                "Fleet", "Lab", "Simulation", nioCore,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            path: "Lab/podidentd-lab",
            swiftSettings: strict
        ),

        // The programs of the lab's hostile pods: bare system calls, hence C.
        .executableTarget(
            name: "lab-attack", path: "Lab/LabAttack", cSettings: [.define("_GNU_SOURCE")],
            linkerSettings: [.linkedLibrary("pthread")]
        ),

        // The cost of a cached token, counted in instructions: see .ci/cost.
        .executableTarget(
            name: "request-cost",
            dependencies: [
                "Attribution", "GoogleMetadata", "MetadataProtocol", "MetadataServer", "Tokens", nioCore, nioPosix,
                logging,
            ],
            path: "Benchmarks/request-cost",
            swiftSettings: strict
        ),

        // Inputs from a seed, for the fuzz tests of parsers.
        .target(name: "Fuzzing", path: "Tests/Fuzzing", swiftSettings: strict),
        .testTarget(
            name: "AttributionTests",
            dependencies: ["Attribution", "Fuzzing"],
            resources: [.copy("Fixtures"), .copy("Corpus")],
            swiftSettings: strict
        ),
        .testTarget(
            name: "KubectlPluginTests", dependencies: ["KubectlPlugin", "Operations", "YAML"],
            swiftSettings: strict),
        .testTarget(name: "TextTests", dependencies: ["Text"], swiftSettings: strict),
        .testTarget(name: "YAMLTests", dependencies: ["YAML", "Fuzzing"], swiftSettings: strict),
        .testTarget(
            name: "TokensTests",
            dependencies: ["Tokens", "Attribution", "AWSSecurityTokenService", "EntraTokenExchange", "Fuzzing"],
            swiftSettings: strict),
        // A scripted HTTPS server and certificates, for the tests of the upstream clients.
        .target(
            name: "UpstreamTesting",
            dependencies: ["Lab", nioCore, nioPosix, nioHTTP1, nioSSL],
            path: "Tests/UpstreamTesting",
            swiftSettings: strict
        ),
        .testTarget(
            name: "UpstreamHTTPTests",
            dependencies: ["UpstreamHTTP", "Tokens", "UpstreamTesting", "Fuzzing", nioCore, nioHTTP1],
            swiftSettings: strict
        ),
        .testTarget(
            name: "KubernetesAPITests",
            dependencies: [
                "KubernetesAPI", "Attribution", "Operations", "Tokens", "UpstreamHTTP", "UpstreamTesting", "Fuzzing",
                nioCore, nioHTTP1, logging,
            ],
            resources: [.copy("Corpus")],
            swiftSettings: strict
        ),
        .testTarget(
            name: "TokenExchangeTests",
            dependencies: [
                "TokenExchange", "GoogleTokenExchange", "AWSSecurityTokenService", "Attribution", "Tokens",
                "UpstreamTesting", nioHTTP1,
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "MetadataServerTests",
            dependencies: [
                "MetadataServer", "MetadataProtocol", "GoogleMetadata", "AWSInstanceMetadata", "AzureInstanceMetadata",
                "EventLoops", "Fuzzing", nioPosix,
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
                "SpiffeWorkload", "SpiffeIdentity", "Signer", "Lab", "Attribution", "Fuzzing", x509, asn1, crypto,
                nioCore,
                nioPosix, nioHPACK, .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            resources: [.copy("Corpus")],
            swiftSettings: strict
        ),
        // Strict readers of metrics, and of the queries over them.
        .target(
            name: "MetricsTesting", dependencies: ["Operations"], path: "Tests/MetricsTesting", swiftSettings: strict),
        .target(
            name: "CHardeningTestShims", path: "Tests/CHardeningTestShims", cSettings: [.define("_GNU_SOURCE")]),
        .testTarget(
            name: "HardeningTests", dependencies: ["Hardening", "CHardening", "BPF", "CHardeningTestShims"],
            swiftSettings: strict),
        .testTarget(
            name: "OperationsTests",
            dependencies: [
                "Operations", "Attribution", "Fuzzing", "MetricsTesting", "Tokens", nioCore, nioPosix, nioHTTP1,
                logging, "YAML",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "OpenerTests", dependencies: ["BPF", "Enforcement", "Lab", "Settings"], swiftSettings: strict),
        .testTarget(
            name: "AgentTests",
            dependencies: [
                "Linux",
                "Agent", "Attribution", "BPF", "Clouds", "Diagnostics", "Enforcement", "EventLoops", "GoogleMetadata",
                "KubernetesAPI", "MetadataProtocol", "MetadataServer", "Netlink", "NodeObject", "Operations",
                "Restart", "Settings", "Telemetry", "Tokens", "UpstreamHTTP", logging, nioPosix, nioHTTP1,
                "Lab", "SpiffeEndpoint", nioCore, nioSSL, .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
        // The documents, held against the code and the programs.
        .testTarget(
            name: "DocumentationTests", dependencies: ["Clouds", "Operations", "Settings", "YAML"],
            swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["Fleet", "Simulation", "VirtualTime", nioCore],
            swiftSettings: strict),
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
        // A world of the lab with a running agent, and what its pods ask.
        .target(
            name: "AgentTesting", dependencies: ["Lab", "Operations"], path: "Tests/AgentTesting",
            swiftSettings: strict),
        .testTarget(name: "ClientTests", dependencies: ["Lab", nioHTTP1], swiftSettings: strict),
        .testTarget(
            name: "EndToEndTests", dependencies: ["AgentTesting", "Operations", "Lab", "MetricsTesting", "YAML"],
            swiftSettings: strict),
        // The same world with everything around the agent broken.
        .testTarget(
            name: "FaultTests", dependencies: ["AgentTesting", "Operations", "Lab", "CLibbpf", "CBPFTestPrograms"],
            path: "Tests/Faults", exclude: ["Shims"], swiftSettings: strict
        ),
    ]
)

// The unit tests alone, for another processor (.ci/arm64): without programs, and without what tests them or the kernel.
if Context.environment["PODIDENTD_UNIT_TESTS"] != nil {
    let others = [
        "AgentTesting", "CBPFTestPrograms", "ClientTests", "DocumentationTests", "EndToEndTests", "FaultTests",
        "HardeningTests", "KernelTests", "LabTests", "OpenerTests",
    ]
    package.products = []
    package.targets.removeAll { $0.type == .executable || others.contains($0.name) }
}
