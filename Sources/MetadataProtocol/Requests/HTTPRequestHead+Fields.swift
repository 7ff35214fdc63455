package import NIOHTTP1

extension HTTPRequestHead {
    /// The field's value, without copying any; `nil` if there is none. `name` consists of letters, digits and hyphens,
    /// for which one bit is the difference between the cases.
    package func onlyField(_ name: String) throws(RequestRefusal) -> String? {
        var found: String?
        for (field, value) in headers
        where field.utf8.count == name.utf8.count && zip(field.utf8, name.utf8).allSatisfy({ $0 | 0x20 == $1 | 0x20 }) {
            guard found == nil else { throw .malformed("The request has more than one \(name) header.") }
            found = value
        }
        return found
    }
}
