/// One thing that the probing process tries, and what must become of it.
package struct SocketProbe: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable {
        /// `connect()` of a TCP socket. Not a byte is sent, unless to the agent.
        case connect
        /// `sendto()` of an empty datagram, without `connect()`.
        case datagram
        /// A TCP header through a raw socket, with a checksum that no receiver accepts.
        case raw
    }

    package var kind: Kind
    /// IPv4, IPv6 or mapped, as `inet_pton` reads it.
    package var address: String
    package var port: UInt16
    /// The agent, as `address:port`: only there is a request sent.
    package var agents: [String] = []
}

/// The kernel's and the server's answer to a ``SocketProbe``.
package struct SocketProbeResult: Codable, Sendable, Equatable {
    /// The call's error number; 0 if it succeeded.
    package var errorNumber: Int32
    /// The far end of a connection by the kernel's table of sockets, which no hook disguises: `address:port`.
    package var remote: String?
    /// The status of the agent's answer.
    package var status: Int?
    /// The agent's answer, where it names the pod that asked.
    package var body: String?
    /// Whether nothing was sent, because this process may not open such a socket.
    package var isUntried: Bool?
}

/// The results of several probes, or why none was made.
package struct SocketProbeReport: Codable, Sendable, Equatable {
    /// Why nothing was tried: the hooks do not take this process for a pod's, and it would have reached addresses that no
    /// pod may reach.
    package var problem: String?
    /// One for each probe, in their order; none with a `problem`.
    package var results: [SocketProbeResult] = []
}
