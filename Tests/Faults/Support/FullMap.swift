import AgentTesting
import CLibbpf
import Foundation
import Lab

/// A pinned map of the programs, whose free places a test takes.
final class FullMap {
    private let descriptor: CInt
    private let valueSize: Int
    private let capacity: Int
    private var keys: [UInt64] = []

    /// Opens the map; its keys have eight bytes.
    init(named name: String, of world: LabWorld) throws {
        let entries = try FileManager.default.contentsOfDirectory(atPath: world.pinDirectory)
        guard let maps = entries.first(where: { $0.hasPrefix("maps-") }) else { throw LabError("there are no maps") }
        descriptor = unsafe bpf_obj_get("\(world.pinDirectory)/\(maps)/\(name)")
        var info = bpf_map_info()
        var length = UInt32(MemoryLayout<bpf_map_info>.size)
        guard descriptor >= 0, unsafe bpf_obj_get_info_by_fd(descriptor, &info, &length) == 0, info.key_size == 8
        else { throw LabError("the map \(name) cannot be opened: error \(errno)") }
        valueSize = Int(info.value_size)
        capacity = Int(info.max_entries)
    }

    deinit {
        close(descriptor)
    }

    /// Takes every free place, with keys that no object has.
    func fill() throws {
        let value = [UInt8](repeating: 0, count: valueSize)
        for number in 0...capacity {
            var key = 0xffff_0000_0000_0000 | UInt64(number)
            guard unsafe bpf_map_update_elem(descriptor, &key, value, UInt64(BPF_NOEXIST)) == 0 else {
                guard errno == E2BIG || errno == ENOSPC || errno == ENOMEM else { break }
                return
            }
            keys.append(key)
        }
        throw LabError("the map is not full after \(keys.count) entries: error \(errno)")
    }

    /// Gives the places back.
    func empty() throws {
        for var key in keys where unsafe bpf_map_delete_elem(descriptor, &key) != 0 {
            throw LabError("an entry cannot be removed: error \(errno)")
        }
        keys = []
    }
}
