import CLibbpf
import Glibc
import Testing

@testable import BPF

/// The kernel's tables as Swift reads and writes them.
@Suite struct BPFMapTests {
    private func withTable(
        _ kind: bpf_map_type = BPF_MAP_TYPE_HASH, keys: UInt32 = 8, values: UInt32 = 4, capacity: UInt32 = 3,
        _ body: (CInt) throws -> Void
    ) throws {
        let descriptor = unsafe bpf_map_create(kind, "test", keys, values, capacity, nil)
        try #require(descriptor >= 0, "error \(-descriptor)")
        defer { close(descriptor) }
        try body(descriptor)
    }

    @Test func `entries are set, read, walked and removed, and a full table says so`() throws {
        try withTable { descriptor in
            let table = try BPFMap<UInt64, UInt32>(descriptor, name: "test")
            #expect(table.capacity == 3 && table[1] == nil && table.keys().isEmpty)
            for key in 1...3 { try table.set(UInt32(key) * 10, for: UInt64(key), "set an entry") }
            #expect(table.entries() == [1: 10, 2: 20, 3: 30])
            #expect(table.occupancy(as: "shown") == MapOccupancy(name: "shown", entries: 3, capacity: 3))
            #expect(throws: BPFError("set an entry", errorNumber: E2BIG)) { try table.set(1, for: 4, "set an entry") }
            try table.set(11, for: 1, "set an entry")
            let isAdded = try table.add(12, for: 1, "add an entry")
            #expect(!isAdded && table[1] == 11)
            #expect(throws: BPFError("add an entry", errorNumber: E2BIG)) { try table.add(1, for: 4, "add an entry") }
            table.remove(2)
            table.remove(2)
            #expect(table.entries() == [1: 11, 3: 30])
            #expect(throws: BPFError("read it", errorNumber: ENOENT)) { try table.value(of: 2, "read it") }
            #expect(try table.add(21, for: 2, "add an entry"))
            #expect(table.entries() == [1: 11, 2: 21, 3: 30])
        }
    }

    @Test(arguments: [(4, 4), (8, 8), (8, 3)] as [(UInt32, UInt32)])
    func `a table with other sizes is refused before the kernel writes into a value`(
        keys: UInt32, values: UInt32
    ) throws {
        try withTable(keys: keys, values: values) { descriptor in
            let error = #expect(throws: BPFError.self) { try BPFMap<UInt64, UInt32>(descriptor, name: "test") }
            #expect(error?.description.contains("instead of") == true)
        }
    }

    @Test(arguments: [BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH])
    func `a table with a value for each processor is read whole, and by its own type alone`(
        kind: bpf_map_type
    ) throws {
        try withTable(kind, values: 8) { descriptor in
            let error = #expect(throws: BPFError.self) { try BPFMap<UInt64, UInt64>(descriptor, name: "test") }
            #expect(error?.description.contains("a value for each processor") == true)
            let table = try PerProcessorMap<UInt64>(descriptor, name: "test")
            let written = (0..<Int(libbpf_num_possible_cpus())).map { UInt64($0) + 7 }
            var (key, values) = (UInt64(1), written)
            try #require(unsafe bpf_map_update_elem(descriptor, &key, &values, UInt64(BPF_ANY)) == 0)
            #expect(try table.values(of: 1, "read it") == written)
        }
        try withTable(values: 8) { descriptor in
            let error = #expect(throws: BPFError.self) { try PerProcessorMap<UInt64>(descriptor, name: "test") }
            #expect(error?.description.contains("one value for all processors") == true)
        }
    }
}
