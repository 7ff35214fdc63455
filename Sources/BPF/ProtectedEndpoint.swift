package import Attribution
import CBPFPrograms

/// Something that no pod may reach, and that the agent does not answer for either.
package struct ProtectedEndpoint: Sendable, Hashable {
    package var address: OriginalDestination.Address
    /// `nil`: every port but those of DNS and NTP.
    package var port: UInt16?

    package init(address: OriginalDestination.Address, port: UInt16? = nil) {
        self.address = address
        self.port = port
    }
}

extension DatapathConfiguration {
    /// Makes the hooks refuse what they would redirect, for as long as no agent can listen.
    package mutating func refuseAll() {
        protectedEndpoints = endpoints.map { ProtectedEndpoint(address: $0) } + protectedEndpoints
        endpoints = []
    }

    /// Every protected endpoint as the programs compare them, the redirected ones first.
    private var kernelEndpoints: [nid_endpoint] {
        endpoints.map { nid_endpoint(address: nid_address($0), port: 0, action: UInt16(NID_ACTION_REDIRECT.rawValue)) }
            + protectedEndpoints.map {
                nid_endpoint(
                    address: nid_address($0.address), port: $0.port ?? 0, action: UInt16(NID_ACTION_REFUSE.rawValue)
                )
            }
    }

    /// Refuses more endpoints than the programs have room for.
    func checkEndpoints() throws(BPFError) {
        let count = endpoints.count + protectedEndpoints.count
        guard count <= Int(NID_ENDPOINTS_MAX) else {
            throw BPFError("protect \(count) endpoints", hint: "at most \(NID_ENDPOINTS_MAX) in all")
        }
    }

    /// Writes the endpoints into a program's table of `NID_ENDPOINTS_MAX`.
    ///
    /// - Returns: How many there are.
    func store(in table: UnsafeMutableRawBufferPointer) -> UInt32 {
        let entries = unsafe table.bindMemory(to: nid_endpoint.self)
        let endpoints = kernelEndpoints.prefix(entries.count)
        for (index, endpoint) in endpoints.enumerated() {
            unsafe entries[index] = endpoint
        }
        return UInt32(endpoints.count)
    }
}
