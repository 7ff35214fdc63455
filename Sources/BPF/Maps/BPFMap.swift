import CLibbpf
import Glibc

/// A kernel table behind a descriptor.
protocol KernelTable: Sendable {
    /// Takes the table behind `descriptor`, which another value owns.
    init(_ descriptor: CInt, name: String) throws(BPFError)
}

extension KernelTable {
    /// Takes a table of a loaded object.
    @unsafe
    init(_ map: OpaquePointer?) throws(BPFError) {
        guard let map = unsafe map else { throw BPFError("find a map of a loaded object") }
        try self.init(unsafe bpf_map__fd(map), name: unsafe String(cString: bpf_map__name(map)))
    }
}

/// A kernel table with one value for each key, behind a descriptor that another value owns. For a table that has a value
/// for each processor there is ``PerProcessorMap``.
struct BPFMap<Key: BitwiseCopyable & Sendable & Hashable, Value: BitwiseCopyable & Sendable>: KernelTable {
    let name: String
    let descriptor: CInt
    /// The most entries that the kernel keeps; 0 for a table whose entries are kept with sockets.
    let capacity: Int

    /// Takes the table behind `descriptor`.
    ///
    /// - Throws: What the kernel said, or that the table has other keys or values, or a value for each processor: the
    ///   kernel would write beyond a value of Swift's then.
    init(_ descriptor: CInt, name: String) throws(BPFError) {
        let info = try bpf_map_info(of: descriptor, name, holding: (Key.self, Value.self), isPerProcessor: false)
        self.name = name
        self.descriptor = descriptor
        self.capacity = Int(info.max_entries)
    }

    /// The value of `key`; `nil` if there is none, or the kernel does not say.
    subscript(key: Key) -> Value? { lookUp(key).value }

    /// Reads the value of `key`, which is there.
    func value(of key: Key, _ operation: @autoclosure () -> String) throws(BPFError) -> Value {
        let (result, value) = lookUp(key)
        try check(result, operation())
        guard let value else { throw BPFError(operation()) }
        return value
    }

    /// Adds or replaces an entry.
    ///
    /// - Throws: What the kernel said, such as that the table is full.
    func set(_ value: Value, for key: Key, _ operation: @autoclosure () -> String) throws(BPFError) {
        var (key, value) = (key, value)
        try check(unsafe bpf_map_update_elem(descriptor, &key, &value, UInt64(BPF_ANY)), operation())
    }

    /// Adds an entry, unless there is one for `key`.
    ///
    /// - Returns: Whether there was none.
    /// - Throws: What the kernel said, such as that the table is full.
    func add(_ value: Value, for key: Key, _ operation: @autoclosure () -> String) throws(BPFError) -> Bool {
        var (key, value) = (key, value)
        let result = unsafe bpf_map_update_elem(descriptor, &key, &value, UInt64(BPF_NOEXIST))
        if result == -EEXIST { return false }
        try check(result, operation())
        return true
    }

    /// Removes the entry of `key`, if there is one.
    func remove(_ key: Key) {
        var key = key
        unsafe bpf_map_delete_elem(descriptor, &key)
    }

    /// Every key. A key that is removed meanwhile makes the kernel begin again, hence the set and the bound.
    func keys() -> Set<Key> {
        var keys: Set<Key> = []
        walk(atMost: 4 * capacity) { keys.insert($0) }
        return keys
    }

    /// Every entry, but for those that are removed meanwhile.
    func entries() -> [Key: Value] {
        var entries: [Key: Value] = [:]
        for key in keys() { entries[key] = self[key] }
        return entries
    }

    /// How full the table is. Walks it.
    func occupancy(as name: String) -> MapOccupancy {
        var count = 0
        // The table's size bounds the walk even while entries come and go.
        walk(atMost: capacity) { _ in count += 1 }
        return MapOccupancy(name: name, entries: count, capacity: capacity)
    }

    private func lookUp(_ key: Key) -> (result: CInt, value: Value?) {
        var key = key
        return unsafe withUnsafeTemporaryAllocation(of: Value.self, capacity: 1) { value in
            let result = unsafe bpf_map_lookup_elem(descriptor, &key, value.baseAddress)
            return unsafe (result, result == 0 ? value[0] : nil)
        }
    }

    private func walk(atMost limit: Int, _ visit: (Key) -> Void) {
        var key: Key?
        var steps = 0
        while steps < limit, let next = self.key(after: key) {
            visit(next)
            key = next
            steps += 1
        }
    }

    /// The key that the kernel has behind `key`, or its first.
    private func key(after key: Key?) -> Key? {
        unsafe withUnsafeTemporaryAllocation(of: Key.self, capacity: 1) { next in
            let result: CInt
            if var key {
                result = unsafe bpf_map_get_next_key(descriptor, &key, next.baseAddress)
            } else {
                result = unsafe bpf_map_get_next_key(descriptor, nil, next.baseAddress)
            }
            return unsafe result == 0 ? next[0] : nil
        }
    }
}

/// A kernel table with a value of eight bytes for each key and processor. The kernel copies the values of all processors at
/// once, so that nothing here reads a single one.
struct PerProcessorMap<Key: BitwiseCopyable & Sendable>: KernelTable {
    private let descriptor: CInt
    /// How many processors the kernel may ever have: so many values it copies.
    private let processors: Int

    /// Takes the table behind `descriptor`.
    ///
    /// - Throws: What the kernel said, or that the table has other keys or values, or one value for all processors.
    init(_ descriptor: CInt, name: String) throws(BPFError) {
        _ = try bpf_map_info(of: descriptor, name, holding: (Key.self, UInt64.self), isPerProcessor: true)
        let processors = libbpf_num_possible_cpus()
        try check(processors, "count the processors")
        self.descriptor = descriptor
        self.processors = Int(processors)
    }

    /// Reads the values of `key` on all processors.
    func values(of key: Key, _ operation: @autoclosure () -> String) throws(BPFError) -> [UInt64] {
        var key = key
        var values = [UInt64](repeating: 0, count: processors)
        try check(unsafe bpf_map_lookup_elem(descriptor, &key, &values), operation())
        return values
    }
}

extension bpf_map_info {
    /// Reads the kernel's description of the table behind `descriptor`, and compares it with what the caller will read.
    fileprivate init<Key, Value>(
        of descriptor: CInt, _ name: String, holding types: (Key.Type, Value.Type), isPerProcessor: Bool
    ) throws(BPFError) {
        self.init()
        var size = UInt32(MemoryLayout<bpf_map_info>.size)
        try check(unsafe bpf_obj_get_info_by_fd(descriptor, &self, &size), "read the description of the map \(name)")
        guard key_size == MemoryLayout<Key>.size, value_size == MemoryLayout<Value>.size else {
            throw BPFError(
                "use the map \(name)",
                hint: "its keys have \(key_size) bytes instead of \(MemoryLayout<Key>.size), or its values "
                    + "\(value_size) instead of \(MemoryLayout<Value>.size)")
        }
        let kinds = [
            BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_LRU_PERCPU_HASH,
            BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
        ]
        guard kinds.contains(where: { $0.rawValue == type }) == isPerProcessor else {
            throw BPFError(
                "use the map \(name)",
                hint: isPerProcessor ? "it has one value for all processors" : "it has a value for each processor")
        }
    }
}

/// How full one kernel table is.
package struct MapOccupancy: Sendable, Equatable {
    package let name: String
    package let entries: Int
    package let capacity: Int
}
