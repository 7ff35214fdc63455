/// RFC 6902, as far as clients of the emulated API use it: test, add, replace and remove.
struct JSONPatch: Sendable {
    /// Why a patch cannot be applied.
    struct Failure: Error, Equatable {
        var message: String
    }

    private let operations: [JSON]

    init(_ json: JSON) throws(Failure) {
        guard let operations = json.array else { throw Failure(message: "a JSON patch is an array") }
        self.operations = operations
    }

    func apply(to value: JSON) throws(Failure) -> JSON {
        var value = value
        for operation in operations {
            let path = operation["path"]?.string ?? ""
            let steps = path.split(separator: "/").map {
                String($0).replacing("~1", with: "/").replacing("~0", with: "~")
            }
            let operand = operation["value"]
            switch operation["op"]?.string {
            case "test":
                guard try value.member(at: steps[...]) == operand else {
                    throw Failure(message: "testing value \(path) failed: test failed")
                }
            case "add": try value.change(at: steps[...], to: operand, isAddition: true)
            case "replace": try value.change(at: steps[...], to: operand, isAddition: false)
            case "remove": try value.change(at: steps[...], to: nil, isAddition: false)
            default: throw Failure(message: "unexpected kind of operation")
            }
        }
        return value
    }
}

extension JSON {
    fileprivate func member(at path: ArraySlice<String>) throws(JSONPatch.Failure) -> JSON {
        guard let first = path.first else { return self }
        let child: JSON? =
            if let array { Int(first).flatMap { array.indices.contains($0) ? array[$0] : nil } } else { self[first] }
        guard let child else { throw JSONPatch.Failure(message: "missing path: \(first)") }
        return try child.member(at: path.dropFirst())
    }

    fileprivate mutating func change(
        at path: ArraySlice<String>, to value: JSON?, isAddition: Bool
    ) throws(JSONPatch.Failure) {
        guard let first = path.first else { throw JSONPatch.Failure(message: "the whole document cannot be changed") }
        if path.count > 1 {
            var child = try member(at: [first])
            try child.change(at: path.dropFirst(), to: value, isAddition: isAddition)
            try set(first, child, isAddition: false)
        } else {
            try set(first, value, isAddition: isAddition)
        }
    }

    private mutating func set(_ key: String, _ value: JSON?, isAddition: Bool) throws(JSONPatch.Failure) {
        switch self {
        case .array(var elements):
            guard let index = key == "-" ? elements.count : Int(key),
                isAddition ? (0...elements.count).contains(index) : elements.indices.contains(index)
            else { throw JSONPatch.Failure(message: "no such element: \(key)") }
            elements.replaceSubrange(index..<(isAddition ? index : index + 1), with: value.map { [$0] } ?? [])
            self = .array(elements)
        case .object(var members):
            let index = members.firstIndex { $0.name == key }
            guard index != nil || isAddition else { throw JSONPatch.Failure(message: "no such member: \(key)") }
            let position = index ?? members.count
            members.replaceSubrange(
                position..<(index == nil ? position : position + 1), with: value.map { [Member(key, $0)] } ?? [])
            self = .object(members)
        case .null, .bool, .integer, .number, .string, .written:
            throw JSONPatch.Failure(message: "no container at \(key)")
        }
    }
}
