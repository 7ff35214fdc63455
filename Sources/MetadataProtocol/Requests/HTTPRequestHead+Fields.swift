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

extension RequestTarget {
    /// Checks `Host`, and the authority of an absolute-form target, against `names`.
    package func check(_ head: HTTPRequestHead, isFor names: HostNames) throws(RequestRefusal) {
        let host = try head.onlyField("Host")
        guard host != nil || head.version != .http1_1 else {
            throw .malformed("A request of HTTP/1.1 must have a Host header.")
        }
        if let host, !names.accepts(host) { throw .unknownHost }
        if let authority, !names.accepts(authority) { throw .unknownHost }
    }
}
