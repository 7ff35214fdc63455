import CLibbpf

/// A kernel table with keys and values of one size each, behind a descriptor that another value owns.
struct BPFMap<Key: BitwiseCopyable & Sendable & Hashable, Value: BitwiseCopyable & Sendable>: Sendable {
    let name: String
    let descriptor: CInt
    /// The most entries that the kernel keeps; 0 for a table whose entries are kept with sockets.
    let capacity: Int

    /// Takes the table behind `descriptor`.
    ///
    /// - Throws: What the kernel said, or that its keys or values have another size: it would write beyond a value of
    ///   Swift's then.
    init(_ descriptor: CInt, name: String) throws(BPFError) {
        var info = bpf_map_info()
        var size = UInt32(MemoryLayout<bpf_map_info>.size)
        try check(unsafe bpf_obj_get_info_by_fd(descriptor, &info, &size), "read the description of the map \(name)")
        guard info.key_size == MemoryLayout<Key>.size, info.value_size == MemoryLayout<Value>.size else {
            throw BPFError(
                "use the map \(name)",
                hint: "its keys have \(info.key_size) bytes instead of \(MemoryLayout<Key>.size), or its values "
                    + "\(info.value_size) instead of \(MemoryLayout<Value>.size)")
        }
        self.name = name
        self.descriptor = descriptor
        self.capacity = Int(info.max_entries)
    }

    /// Takes a table of a loaded object.
    @unsafe
    init(_ map: OpaquePointer?) throws(BPFError) {
        guard let map = unsafe map else { throw BPFError("find a map of a loaded object") }
        try self.init(unsafe bpf_map__fd(map), name: unsafe String(cString: bpf_map__name(map)))
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

extension BPFMap where Value == UInt64 {
    /// Reads the values of `key` on all processors, of a table that has one for each.
    func values(onProcessors count: Int, of key: Key, _ operation: @autoclosure () -> String) throws(BPFError)
        -> [UInt64]
    {
        var key = key
        var values = [UInt64](repeating: 0, count: count)
        try check(unsafe bpf_map_lookup_elem(descriptor, &key, &values), operation())
        return values
    }
}

/// How full one kernel table is.
package struct MapOccupancy: Sendable, Equatable {
    package let name: String
    package let entries: Int
    package let capacity: Int
}
