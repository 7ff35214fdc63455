package import MetadataProtocol

/// A request that passed every check that does not depend on who sent it.
package struct MetadataRequest: Sendable, Hashable {
    /// A hash of all that follows, made once: requests are looked up far more often than they are decoded. Its seed is
    /// this process's, so that no caller can choose requests that meet.
    private let digest: Int
    /// The room that checked it, by its place in the server's list.
    let room: Int
    let details: any RoomRequest
    package let routeClass: RouteClass
    let isCredential: Bool
    let waitBudget: Duration?

    init(_ details: any RoomRequest, room: Int) {
        self.details = details
        self.room = room
        self.routeClass = details.routeClass
        self.isCredential = details.routeClass.isCredential
        self.waitBudget = details.waitBudget
        var hasher = Hasher()
        hasher.combine(room)
        details.hash(into: &hasher)
        digest = hasher.finalize()
    }

    package static func == (one: MetadataRequest, other: MetadataRequest) -> Bool {
        one.digest == other.digest && one.room == other.room
            && (one.details === other.details || one.details.isEqual(to: other.details))
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(digest)
    }
}
