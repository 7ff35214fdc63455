import BPF
import CBPFPrograms
import CBPFTestPrograms
import CLibbpf
import Foundation
import Testing

/// The decision headers, in the kernel, under BPF_PROG_TEST_RUN.
@Suite(.serialized) struct DecisionTests {
    /// The programs of `bpf/tests/decisions.bpf.c`, loaded once: the verifier takes half a second for them. Each begins with
    /// what it is given, and tests of this suite run one at a time.
    @safe
    private final class Programs: @unchecked Sendable {
        static let loaded = Result { try Programs() }

        private let skeleton: UnsafeMutablePointer<nid_decisions_skeleton>

        private init() throws {
            let skeleton = unsafe try #require(unsafe nid_decisions_skeleton__open())
            try #require(unsafe nid_decisions_skeleton__load(skeleton) == 0)
            unsafe self.skeleton = skeleton
        }

        deinit {
            unsafe nid_decisions_skeleton__destroy(skeleton)
        }

        /// Runs a program with `context` as what it is given; its result is in the same place.
        func run<Context>(
            _ program: (nid_decisions_skeleton) -> OpaquePointer?, _ context: inout Context
        ) throws {
            let descriptor = unsafe bpf_program__fd(program(unsafe skeleton.pointee))
            try unsafe withUnsafeMutableBytes(of: &context) { bytes in
                try unsafe withUnsafeMutableBytes(of: &skeleton.pointee.bss.pointee.exchange) { exchange in
                    unsafe exchange.copyMemory(from: UnsafeRawBufferPointer(bytes))
                    var options = unsafe bpf_test_run_opts()
                    unsafe options.sz = MemoryLayout<bpf_test_run_opts>.size
                    try #require(unsafe bpf_prog_test_run_opts(descriptor, &options) == 0)
                    unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: exchange[..<bytes.count]))
                }
            }
        }
    }

    private static var programs: Programs { get throws { try Programs.loaded.get() } }

    /// `enum nid_verdict` of `bpf/lib/destination.h`.
    enum Verdict: UInt32, Sendable {
        case pass, redirect, refuse
    }

    private static let metadata = address(0, 0, 0x0000_ffff, 0xa9fe_a9fe)
    private static let metadata6 = address(0xfd20_00ce, 0, 0, 0x0000_0254)

    private static func address(_ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32) -> nid_address {
        nid_address(word: (a.bigEndian, b.bigEndian, c.bigEndian, d.bigEndian))
    }

    struct Destination: CustomTestStringConvertible, Sendable {
        var port: UInt16
        var isStream: Bool
        var verdict: Verdict
        var testDescription: String { "\(isStream ? "TCP" : "UDP") \(port)" }
    }

    @Test(
        "of a protected address, port 80 is redirected, DNS and NTP pass, everything else is refused",
        arguments: [
            Destination(port: 80, isStream: true, verdict: .redirect),
            Destination(port: 80, isStream: false, verdict: .refuse),
            Destination(port: 53, isStream: false, verdict: .pass),
            Destination(port: 53, isStream: true, verdict: .pass),
            Destination(port: 123, isStream: false, verdict: .pass),
            Destination(port: 123, isStream: true, verdict: .refuse),
            Destination(port: 443, isStream: true, verdict: .refuse),
            Destination(port: 8080, isStream: true, verdict: .refuse),
            Destination(port: 0, isStream: true, verdict: .refuse),
            Destination(port: 65535, isStream: false, verdict: .refuse),
        ]
    )
    func ports(_ destination: Destination) throws {
        var context = test_destination()
        context.port = destination.port
        context.is_stream = destination.isStream ? 1 : 0
        unsafe try Self.programs.run({ unsafe $0.progs.test_destination }, &context)
        #expect(context.verdict == destination.verdict.rawValue)
    }

    @Test("an address is protected if all its words are those of a configured one, and only then")
    func protectedAddresses() throws {
        let programs = try Self.programs
        func isProtected(_ destination: nid_address, count: UInt32 = 2) throws -> Bool {
            var context = test_destination()
            context.endpoints.0.address = Self.metadata
            context.endpoints.1.address = Self.metadata6
            context.endpoint_count = count
            context.destination = destination
            unsafe try programs.run({ unsafe $0.progs.test_destination }, &context)
            return context.is_protected == 1
        }
        #expect(try isProtected(Self.metadata))
        #expect(try isProtected(Self.metadata6))
        #expect(try !isProtected(Self.metadata6, count: 1))
        #expect(try !isProtected(Self.metadata, count: 0))
        // One word off, each in turn; the unmapped and the IPv4-compatible form are other addresses.
        #expect(try !isProtected(Self.address(1, 0, 0x0000_ffff, 0xa9fe_a9fe)))
        #expect(try !isProtected(Self.address(0, 1, 0x0000_ffff, 0xa9fe_a9fe)))
        #expect(try !isProtected(Self.address(0, 0, 0, 0xa9fe_a9fe)))
        #expect(try !isProtected(Self.address(0, 0, 0x0000_ffff, 0xa9fe_a9ff)))
        // A slot beyond the count is all zeros: the unspecified address must not match it.
        #expect(try !isProtected(Self.address(0, 0, 0, 0)))
    }

    struct Route: CustomTestStringConvertible, Sendable {
        var testDescription: String
        /// From the IP header on.
        var packet: [UInt8]
        var leadsOn: Bool
    }

    /// An IPv4 header with these options.
    private static func ipv4(_ options: [UInt8]) -> [UInt8] {
        [0x40 | UInt8(5 + options.count / 4)] + [UInt8](repeating: 0, count: 19) + options
    }

    /// An IPv6 header with extension headers, the first of which has this number.
    private static func ipv6(_ next: UInt8, _ extensions: [UInt8]) -> [UInt8] {
        [0x60, 0, 0, 0, 0, 0, next] + [UInt8](repeating: 0, count: 33) + extensions
    }

    private static func segments(_ type: UInt8, left: UInt8, _ addresses: [[UInt8]]) -> [UInt8] {
        [6, UInt8(addresses.count * 2), type, left, 0, 0, 0, 0] + addresses.flatMap { $0 }
    }

    private static let metadataBytes: [UInt8] = [169, 254, 169, 254]
    private static let mappedBytes = [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + metadataBytes
    private static let elsewhere = [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 1, count: 12)
    /// Another address whose last word is that of the protected one, which is all that the filter sees.
    private static let namesake = Array(elsewhere.prefix(12)) + metadataBytes

    @Test(
        "a source route or routing header that names a protected address is found, wherever it stands",
        arguments: [
            Route(testDescription: "no options", packet: ipv4([]), leadsOn: false),
            Route(testDescription: "router alert", packet: ipv4([0x94, 4, 0, 0]), leadsOn: false),
            Route(
                testDescription: "loose source route", packet: ipv4([131, 7, 4] + metadataBytes + [0]), leadsOn: true),
            Route(
                testDescription: "strict, the last of nine",
                packet: ipv4([137, 39, 4] + [UInt8](repeating: 10, count: 32) + metadataBytes + [0]), leadsOn: true),
            Route(
                testDescription: "behind another option", packet: ipv4([1, 131, 7, 4] + metadataBytes), leadsOn: true),
            Route(testDescription: "of others", packet: ipv4([131, 7, 4, 10, 0, 0, 1, 0]), leadsOn: false),
            Route(testDescription: "TCP", packet: ipv6(6, []), leadsOn: false),
            Route(
                testDescription: "type 0", packet: ipv6(43, segments(0, left: 1, [mappedBytes])), leadsOn: true),
            Route(
                testDescription: "type 4, the last of three",
                packet: ipv6(43, segments(4, left: 2, [elsewhere, elsewhere, mappedBytes])), leadsOn: true),
            Route(
                testDescription: "type 4 of others", packet: ipv6(43, segments(4, left: 1, [elsewhere])), leadsOn: false
            ),
            Route(
                testDescription: "type 4, one with the same last word",
                packet: ipv6(43, segments(4, left: 2, [elsewhere, namesake])), leadsOn: false),
            Route(
                testDescription: "type 4, two with the same last word",
                packet: ipv6(43, segments(4, left: 2, [namesake, namesake])), leadsOn: true),
            Route(
                testDescription: "nothing left of it", packet: ipv6(43, segments(4, left: 0, [mappedBytes])),
                leadsOn: false),
            Route(
                testDescription: "behind hop-by-hop options",
                packet: ipv6(0, [43, 0, 0, 0, 0, 0, 0, 0] + segments(2, left: 1, [mappedBytes])), leadsOn: true),
            Route(
                testDescription: "a type that hides", packet: ipv6(43, segments(3, left: 1, [elsewhere])),
                leadsOn: true),
            Route(testDescription: "cut short", packet: ipv6(43, [6, 2, 4, 1, 0, 0, 0, 0]), leadsOn: true),
            Route(
                testDescription: "hop-by-hop without end",
                packet: ipv6(0, (0..<8).flatMap { _ in [0, 0, 0, 0, 0, 0, 0, 0] as [UInt8] }), leadsOn: true),
            Route(testDescription: "a later fragment", packet: ipv6(44, [43, 0, 1, 0, 0, 0, 0, 0]), leadsOn: false),
        ]
    )
    func routes(_ route: Route) throws {
        var context = test_route()
        context.endpoint.address = Self.metadata
        context.length = UInt32(route.packet.count)
        context.is_ipv4 = route.packet[0] >> 4 == 4 ? 1 : 0
        unsafe withUnsafeMutableBytes(of: &context.bytes) { unsafe $0.copyBytes(from: route.packet) }
        unsafe try Self.programs.run({ unsafe $0.progs.test_route }, &context)
        #expect((context.leads_on == 1) == route.leadsOn)
    }

    @Test("one TCP port more of an address is redirected where it is listed, and leaves the pod nowhere")
    func furtherPort() throws {
        let programs = try Self.programs
        func judge(_ port: UInt16, isStream: Bool = true, isListed: Bool = true, _ destination: nid_address) throws
            -> (verdict: Verdict?, mayLeave: Bool)
        {
            var context = test_destination()
            let redirect = UInt16(NID_ACTION_REDIRECT.rawValue)
            context.endpoints.0 = nid_endpoint(address: Self.metadata, port: isListed ? 9256 : 9999, action: redirect)
            context.endpoints.1 = nid_endpoint(address: Self.metadata, port: 0, action: redirect)
            context.endpoint_count = 2
            context.destination = destination
            context.port = port
            context.is_stream = isStream ? 1 : 0
            context.`protocol` = isStream ? 6 : 17
            unsafe try programs.run({ unsafe $0.progs.test_destination }, &context)
            return (Verdict(rawValue: context.judgement), context.may_leave == 1)
        }
        #expect(try judge(9256, Self.metadata) == (.redirect, false))
        #expect(try judge(80, Self.metadata) == (.redirect, false))
        #expect(try judge(9256, isListed: false, Self.metadata) == (.refuse, false))
        #expect(try judge(9256, isStream: false, Self.metadata) == (.refuse, false))
        #expect(try judge(9255, Self.metadata) == (.refuse, false))
        #expect(try judge(53, Self.metadata) == (.pass, true))
        // Through a translator there is no way to the agent.
        #expect(try judge(9256, Self.address(0x0064_ff9b, 0, 0, 0xa9fe_a9fe)) == (.refuse, false))
        #expect(try judge(9256, Self.metadata6) == (.pass, true))
    }

    @Test("an IPv4 address is compared in its mapped form")
    func mapped() throws {
        var context = test_mapped()
        context.ip4 = UInt32(0xa9fe_a9fe).bigEndian
        unsafe try Self.programs.run({ unsafe $0.progs.test_mapped }, &context)
        #expect(context.result.word == Self.metadata.word)
    }

    /// The numbers of a connection's two ends, in the order in which they are read.
    struct Ends: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var acknowledged: UInt32 = 1001
        var serverExpects: UInt32 = 1001
        var next: UInt32 = 1001
        var serverNext: UInt32 = 9001
        var expects: UInt32 = 9001
        var isOne: Bool
    }

    @Test(
        "two sockets are one connection's ends only by the numbers of both directions",
        arguments: [
            Ends(testDescription: "nothing sent yet", isOne: true),
            Ends(testDescription: "a request on its way", next: 1101, isOne: true),
            Ends(testDescription: "arrived, not acknowledged", serverExpects: 1101, next: 1101, isOne: true),
            Ends(
                testDescription: "around the end of the numbers", acknowledged: 0xffff_fff0, serverExpects: 16,
                next: 32, isOne: true),
            Ends(testDescription: "another server's end", expects: 9002, isOne: false),
            Ends(testDescription: "behind what is acknowledged", serverExpects: 1000, isOne: false),
            Ends(testDescription: "ahead of what was sent", serverExpects: 1002, isOne: false),
            Ends(testDescription: "half the numbers away", serverExpects: 0x8000_03e9, isOne: false),
        ])
    func connections(_ ends: Ends) throws {
        var context = test_connection()
        context.client_acknowledged = ends.acknowledged
        context.server_expects = ends.serverExpects
        context.client_written = ends.next
        context.server_next = ends.serverNext
        context.client_expects = ends.expects
        unsafe try Self.programs.run({ unsafe $0.progs.test_connection }, &context)
        #expect((context.is_one != 0) == ends.isOne)
    }

    /// A cgroup below kubepods, by its ancestors there, itself the last.
    struct Place: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var ancestors: [UInt64]
        var isReported: Bool
        /// The places of QoS classes in `groups` that the programs do not know yet.
        var missing: [Int] = []
        /// The greatest ID of a pod; those of the groups are 1 to 5.
        static let burstable: UInt64 = 1, system: UInt64 = 3, systemBurstable: UInt64 = 4
    }

    @Test(
        "events go down to the container level, in every layout, and no further",
        arguments: [
            Place(testDescription: "a QoS class", ancestors: [Place.burstable], isReported: true),
            Place(testDescription: "a guaranteed pod", ancestors: [10], isReported: true),
            Place(testDescription: "its container", ancestors: [10, 11], isReported: true),
            Place(testDescription: "below it", ancestors: [10, 11, 12], isReported: false),
            Place(testDescription: "far below it", ancestors: [10, 11, 12, 13], isReported: false),
            Place(testDescription: "a burstable pod", ancestors: [Place.burstable, 10], isReported: true),
            Place(testDescription: "its container", ancestors: [Place.burstable, 10, 11], isReported: true),
            Place(testDescription: "below it", ancestors: [Place.burstable, 10, 11, 12], isReported: false),
            Place(
                testDescription: "a container in the partition",
                ancestors: [Place.system, Place.systemBurstable, 10, 11], isReported: true),
            Place(
                testDescription: "below it", ancestors: [Place.system, Place.systemBurstable, 10, 11, 12],
                isReported: false),
            Place(
                testDescription: "below a guaranteed pod's container in the partition",
                ancestors: [Place.system, 10, 11, 12], isReported: false),
            Place(
                testDescription: "a container of a class that is not known yet", ancestors: [20, 10, 11],
                isReported: true, missing: [0]),
        ])
    func reported(_ place: Place) throws {
        var context = test_layout()
        context.settings.groups = (1, 2, 3, 4, 5)
        if place.missing == [0] { context.settings.groups.0 = 0 }
        let known = place.ancestors + [0, 0, 0]
        context.ancestors = (known[0], known[1], known[2])
        context.depth = UInt32(place.ancestors.count)
        unsafe try Self.programs.run({ unsafe $0.progs.test_layout }, &context)
        #expect((context.is_reported != 0) == place.isReported)
    }

    @Test("a tree is its ID at its level, and a place that is not taken is no tree's")
    func trees() throws {
        let programs = try Self.programs
        let cases: [(UInt64, UInt64, Bool)] = [(7, 7, true), (7, 8, false), (7, 0, false), (0, 0, false)]
        for (id, ancestor, isTree) in cases {
            var context = test_tree()
            context.tree.id = id
            context.ancestor = ancestor
            unsafe try programs.run({ unsafe $0.progs.test_tree }, &context)
            #expect((context.is_tree != 0) == isTree, "\(id) \(ancestor)")
        }
    }

    @Test("the types that cross the boundary have the sizes that C asserts")
    func sizes() {
        #expect(MemoryLayout<nid_address>.size == 16)
        #expect(MemoryLayout<nid_tag>.size == 96)
        #expect(MemoryLayout<nid_endpoints>.size == 1796)
        #expect(MemoryLayout<nid_note>.size == 112)
        #expect(MemoryLayout<nid_listener>.size == 8)
        #expect(MemoryLayout<nid_pod_connections>.size == 56)
        #expect(MemoryLayout<nid_tree>.size == 16)
        #expect(MemoryLayout<nid_settings>.size == 200)
        #expect(MemoryLayout<nid_cgroup_event>.size == 16)
        #expect(MemoryLayout<nid_namespace_event>.size == 40)
        #expect(Int(NID_STAT_COUNT.rawValue) == DatapathCounters.names.count)
        #expect(MemoryLayout<nid_tag>.offset(of: \.destination) == 72)
        #expect(MemoryLayout<nid_tag>.offset(of: \.destination_port) == 88)
        #expect(MemoryLayout<nid_tag>.offset(of: \.state) == 91)
    }
}
