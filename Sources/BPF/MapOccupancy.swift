import CLibbpf

/// How full one kernel table is.
package struct MapOccupancy: Sendable, Equatable {
    package let name: String
    package let entries: Int
    package let capacity: Int

    init<Key: BitwiseCopyable>(name: String, descriptor: CInt, key: Key) {
        self.name = name
        entries = Self.count(descriptor, key: key)
        capacity = Self.capacity(descriptor)
    }

    /// Walks the keys of the map; `first` is any value of their type.
    static func count<Key: BitwiseCopyable>(_ map: CInt, key first: Key) -> Int {
        let limit = capacity(map)
        var count = 0
        var key = first
        var next = first
        var result = unsafe bpf_map_get_next_key(map, nil, &next)
        // The table's size bounds the walk even while entries come and go.
        while result == 0, count < limit {
            count += 1
            key = next
            result = unsafe bpf_map_get_next_key(map, &key, &next)
        }
        return count
    }

    private static func capacity(_ map: CInt) -> Int {
        var info = bpf_map_info()
        var size = UInt32(MemoryLayout<bpf_map_info>.size)
        return unsafe bpf_obj_get_info_by_fd(map, &info, &size) == 0 ? Int(info.max_entries) : 0
    }
}
