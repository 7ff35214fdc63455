import Attribution
import MetadataProtocol
import Telemetry
import Tokens

/// Answers the metadata server, from the attributor and the token service.
struct AgentBackend: TokenServiceBackend {
    let attributor: Attributor
    let tokens: TokenService
    let attributions: AttributionCounters
    let callers: RecentCallers

    /// How long a request may wait for its pod's record. Well below the 3 s after which Google's clients give up.
    private static let holdLimit = Duration.seconds(2)

    func identify(_ tag: CallerTag) -> Identification {
        let identification = attributor.identify(tag)
        attributions.count(identification, isFinal: false)
        return identification
    }

    func identifyHolding(_ tag: CallerTag) async -> Identification {
        let identification = await attributor.identify(tag, holdingAtMost: Self.holdLimit)
        attributions.count(identification, isFinal: true)
        callers.note(identification)
        return identification
    }
}
