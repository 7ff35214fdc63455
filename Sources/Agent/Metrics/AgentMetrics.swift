import Attribution
import BPF
import Diagnostics
import Enforcement
import KubernetesAPI
import MetadataProtocol
import MetadataServer
import Operations
import Settings
import SpiffeEndpoint
import Telemetry
import Tokens
import UpstreamHTTP

/// The present value of every metric, gathered from those who count.
struct AgentMetrics: Sendable {
    let requests: RequestCounters
    let attributions: AttributionCounters
    let upstreams: UpstreamMeters
    let datapath: AttachedDatapath
    let server: @Sendable () -> Int
    let tokens: TokenService
    let index: CgroupIndex
    let directory: PodDirectory
    let watcher: PodWatcher
    let credentials: NodeCredentials
    let readiness: ReadinessProbe
    let audit: AuditLog
    let events: PodEventRecorder
    let incidents: CounterTable<Incident>
    let spiffe: SpiffeService?
    private let startedAt = ContinuousClock.now

    /// All families in the order of ``MetricNames/all``, each exactly once.
    func families() -> [MetricFamily] {
        requestFamilies + kernelFamilies + tokenFamilies + spiffeFamilies + nodeFamilies + recordFamilies
            + [MetricFamily(MetricNames.build, [MetricSample([AgentVersion.current], .integer(1))])]
            + ProcessMetrics.families()
    }

    private var requestFamilies: [MetricFamily] {
        [
            MetricFamily(
                MetricNames.requests,
                requests.answered.map {
                    MetricSample([$0.route.rawValue, "\($0.status.rawValue)"], .integer($0.count))
                }),
            MetricFamily(
                MetricNames.requestDuration,
                [
                    MetricSample(
                        [AnsweredRequest.Source.cached.rawValue], .histogram(requests.cachedDuration.snapshot)),
                    MetricSample(
                        [AnsweredRequest.Source.fetched.rawValue], .histogram(requests.fetchedDuration.snapshot)),
                ]),
            MetricFamily(MetricNames.refusals, requests.refusals.samples),
            MetricFamily(MetricNames.attributions, attributions.samples),
            MetricFamily(MetricNames.connections, .count(server())),
            MetricFamily(MetricNames.connectionsOpened, .integer(requests.opened.current)),
            MetricFamily(MetricNames.connectionResets, requests.resets.samples),
            MetricFamily(MetricNames.limitsHit, requests.limits.samples),
        ]
    }

    private var kernelFamilies: [MetricFamily] {
        let datapath = datapath.current
        let occupancy = datapath?.occupancy() ?? []
        let missing = datapath?.missingHooks.count ?? 0
        let isGuarded = if case .active = datapath?.hostGuard { true } else { false }
        return [
            MetricFamily(
                MetricNames.kernelEvents,
                ((try? datapath?.counters())?.values ?? []).map { MetricSample([$0.name], .integer($0.value)) }),
            MetricFamily(MetricNames.mapEntries, occupancy.map { MetricSample([$0.name], .count($0.entries)) }),
            MetricFamily(MetricNames.mapCapacity, occupancy.map { MetricSample([$0.name], .count($0.capacity)) }),
            MetricFamily(
                MetricNames.hooks,
                [
                    MetricSample(["in_place"], .count((datapath?.hooks.count ?? 0) - missing)),
                    MetricSample(["missing"], .count(missing)),
                ]),
            MetricFamily(MetricNames.hostGuard, .flag(isGuarded)),
        ]
    }

    private var tokenFamilies: [MetricFamily] {
        let counters = tokens.counters
        let states = tokens.entryStates
        let lookups = [
            ("hit", counters.hits), ("miss", counters.misses), ("join", counters.joins),
            ("failure", counters.rememberedFailures), ("limited", counters.limited), ("timed_out", counters.timedOut),
        ]
        return [
            MetricFamily(MetricNames.tokenLookups, lookups.map { MetricSample([$0.0], .integer($0.1)) }),
            MetricFamily(
                MetricNames.tokenEntries,
                TokenEntryState.allCases.map { MetricSample([$0.rawValue], .count(states[$0] ?? 0)) }),
            MetricFamily(MetricNames.tokenFetches, Self.samples(counters.tokenFetches)),
            MetricFamily(MetricNames.accountReads, Self.samples(counters.serviceAccountReads)),
            MetricFamily(MetricNames.tokenRefreshes, .integer(counters.backgroundRefreshes)),
            MetricFamily(MetricNames.tokenEvictions, .integer(counters.evicted)),
            MetricFamily(MetricNames.upstreamCalls, upstreams.calls),
            MetricFamily(
                MetricNames.upstreamRetries,
                upstreams.upstreams.map {
                    MetricSample([$0.rawValue], .integer(counters.retries[$0] ?? 0))
                }),
            MetricFamily(MetricNames.upstreamDuration, upstreams.durations),
        ]
    }

    /// The families of the SPIFFE endpoint, all zero where there is none.
    private var spiffeFamilies: [MetricFamily] {
        let counters = spiffe?.counters ?? SpiffeCounters()
        let holdings = spiffe?.holdings ?? (connections: 0, streams: 0, certificates: 0, tokens: 0)
        return [
            MetricFamily(MetricNames.spiffeCalls, counters.callSamples),
            MetricFamily(MetricNames.spiffeIssued, counters.issued.samples),
            MetricFamily(MetricNames.spiffeFailures, counters.failed.samples),
            MetricFamily(MetricNames.spiffePushes, .integer(counters.pushes.current)),
            MetricFamily(MetricNames.spiffeConnectionsRefused, .integer(counters.refusedConnections.current)),
            MetricFamily(MetricNames.spiffeRejections, .integer(counters.rejections.current)),
            MetricFamily(
                MetricNames.spiffeForeignCertificates, .integer(counters.foreignCertificates.current)),
            MetricFamily(
                MetricNames.spiffeHoldings,
                [
                    MetricSample(["connections"], .count(holdings.connections)),
                    MetricSample(["streams"], .count(holdings.streams)),
                    MetricSample(["certificates"], .count(holdings.certificates)),
                    MetricSample(["tokens"], .count(holdings.tokens)),
                ]),
        ]
    }

    private static func samples(_ outcomes: [TokenCounters.FetchOutcome: UInt64]) -> [MetricSample] {
        TokenCounters.FetchOutcome.allCases.map {
            MetricSample([MetricLabel.snakeCase($0.rawValue)], .integer(outcomes[$0] ?? 0))
        }
    }

    private var nodeFamilies: [MetricFamily] {
        let watch = watcher.status
        let silence = ContinuousClock.now - (watch.lastContact ?? startedAt)
        let end = credentials.latest.notAfter.map { $0.sinceEpoch / .seconds(1) }
        return [
            MetricFamily(
                MetricNames.ready,
                readiness.readiness.conditions.map { MetricSample([$0.name], .flag($0.problem == nil)) }),
            MetricFamily(MetricNames.podsNotArriving, .count(readiness.arrivals.current.pods.count)),
            MetricFamily(MetricNames.watchSilence, .real(silence / .seconds(1))),
            MetricFamily(
                MetricNames.watchLists,
                [
                    MetricSample(["regular"], .count(watch.lists - watch.missLists)),
                    MetricSample(["miss"], .count(watch.missLists)),
                ]),
            MetricFamily(MetricNames.pods, .count(directory.count)),
            MetricFamily(MetricNames.cgroups, .count(index.count)),
            MetricFamily(MetricNames.credentialExpiry, end.map { .real($0) }),
            MetricFamily(MetricNames.incidents, incidents.samples),
        ]
    }

    private var recordFamilies: [MetricFamily] {
        let events = events.counters
        return [
            MetricFamily(
                MetricNames.auditLines,
                [
                    MetricSample(["written"], .integer(audit.written)), MetricSample(["lost"], .integer(audit.lost)),
                ]),
            MetricFamily(
                MetricNames.podEvents,
                [
                    MetricSample(["sent"], .integer(events.sent)), MetricSample(["failed"], .integer(events.failed)),
                    MetricSample(["suppressed"], .integer(events.suppressed)),
                    MetricSample(["dropped"], .integer(events.dropped)),
                ]),
        ]
    }
}
