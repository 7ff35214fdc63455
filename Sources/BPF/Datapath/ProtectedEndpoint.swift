package import Attribution
import CBPFPrograms

/// An address, or one port of it, that no pod may reach, and that the agent does not answer for either.
package struct ProtectedEndpoint: Sendable, Hashable {
    package var address: IPAddress
    /// `nil`: every port but those of DNS and NTP.
    package var port: UInt16?

    package init(address: IPAddress, port: UInt16? = nil) {
        self.address = address
        self.port = port
    }
}

extension [ProtectedEndpoint] {
    /// Each address once, with the ports of its endpoints in their order; `nil` is every port. An IPv4 address in its
    /// mapped form is that address.
    func portsByAddress() -> [(IPAddress, [UInt16?])] {
        var addresses: [(IPAddress, [UInt16?])] = []
        for endpoint in self {
            let address = endpoint.address.unmapped
            if let index = addresses.firstIndex(where: { $0.0 == address }) {
                addresses[index].1.append(endpoint.port)
            } else {
                addresses.append((address, [endpoint.port]))
            }
        }
        return addresses
    }
}

extension DatapathConfiguration {
    /// Every protected endpoint as the programs compare them: single ports before the address that they belong to, and
    /// the redirected ones first.
    private var kernelEndpoints: [nid_endpoint] {
        endpoints.flatMap { address in
            furtherPorts.map { port in
                nid_endpoint(
                    address: nid_address(address), port: port, action: UInt16(NID_ACTION_REDIRECT.rawValue))
            }
        }
            + endpoints.map {
                nid_endpoint(address: nid_address($0), port: 0, action: UInt16(NID_ACTION_REDIRECT.rawValue))
            }
            + protectedEndpoints.map {
                nid_endpoint(
                    address: nid_address($0.address), port: $0.port ?? 0, action: UInt16(NID_ACTION_REFUSE.rawValue)
                )
            }
    }

    /// Refuses more endpoints than the programs have room for.
    package func checkEndpoints() throws(BPFError) {
        let count = endpoints.count * (1 + furtherPorts.count) + protectedEndpoints.count
        guard count <= Int(NID_ENDPOINTS_MAX) else {
            throw BPFError("protect \(count) endpoints", hint: "at most \(NID_ENDPOINTS_MAX) in all")
        }
    }

    /// The endpoints as a program's constant.
    var kernelTable: nid_endpoints {
        var table = nid_endpoints()
        let endpoints = kernelEndpoints.prefix(Int(NID_ENDPOINTS_MAX))
        table.count = UInt32(endpoints.count)
        unsafe withUnsafeMutableBytes(of: &table.entries) { bytes in
            let entries = unsafe bytes.bindMemory(to: nid_endpoint.self)
            for (index, endpoint) in endpoints.enumerated() { unsafe entries[index] = endpoint }
        }
        unsafe withUnsafeMutableBytes(of: &table.filter) { bytes in
            let words = unsafe bytes.bindMemory(to: UInt32.self)
            for endpoint in endpoints {
                let bit = Int(nid_filter_bit(endpoint.address.word.3))
                unsafe words[bit / 32] |= 1 << UInt32(bit % 32)
            }
        }
        return table
    }
}
