import BPF
import Enforcement
import EventLoops
import KubernetesAPI
import Logging
import MetadataServer
import NodeObject
import Operations
import Restart
import ServiceLifecycle
import Settings
import SpiffeEndpoint
import Telemetry
import Tokens
import UnixSignals
import UpstreamHTTP

/// The order of the agent: each part after what it needs.
extension Parts {
    /// Parts stop in reverse: the listeners first, what it needs last. A start that fails ends them in the same order, and so
    /// does a part that fails while the agent serves.
    var stages: [Stage] {
        recordStages + upstreamStages + kernelStages + operatorStages + podStages + servingStages
    }

    private var recordStages: [Stage] {
        [
            .closes { [endpoint = operators.endpoint] in await endpoint.stop() },
            .closes { [audit = upstreams.audit] in await audit.close() },
            .runs { [audit = upstreams.audit] in await audit.run() },
            .runs { [audit = upstreams.audit, reloader = serving.reloader] in
                for await _ in await UnixSignalsSequence(trapping: .sighup) {
                    audit.reopen()
                    await reloader.reload()
                }
            },
        ]
    }

    private var upstreamStages: [Stage] {
        var stages: [Stage] = [.closes { [upstreams] in await upstreams.shutdownClients() }]
        if let spiffe = upstreams.spiffe {
            stages += [
                .runs { await spiffe.run() },
                .runs { await spiffe.runSecure() },
                Stage(
                    service: ClosingService { [self] in await spiffe.shutdown(within: drainTime.streams) },
                    abandon: { await spiffe.shutdown(within: .zero) }),
            ]
        }
        return stages + [.runs { [events = serving.events] in await events.run() }]
    }

    private var kernelStages: [Stage] {
        [
            // Both wait for threads that may wait for the opener.
            .closesOnThread { [tracking, namespaces = serving.namespaces] in
                tracking.current?.stop()
                namespaces.stop()
            }
        ]
    }

    private var operatorStages: [Stage] {
        let (port, endpoint) = (operators.metricsPort, operators.endpoint)
        return [
            .closes { [admin = operators.admin] in await admin.stop() },
            .closes { [server = operators.metricsServer] in await server.stop() },
            .runs { await port.run { port.descriptor.map { endpoint.add($0) } } },
        ]
    }

    private var podStages: [Stage] {
        [
            Stage(service: pods.watching, abandon: { [watching = pods.watching] in watching.cancel() }),
            .runs { [node = serving.node] in await node.run() },
            // The timer of this check is on the loop of upstream calls, which needs no thread of its own for it.
            .runs { [selfCheck] in await selfCheck.current?.run(on: .upstreams) },
            .runs { [proof = serving.proof, server = serving.server] in
                await proof.run(on: .upstreams, isServing: { server.isAccepting })
            },
            .runs { [tokens = upstreams.tokens] in
                await withTaskExecutorPreference(EventLoopExecutor.upstreams) { await tokens.run() }
            },
        ]
    }

    private var drainTime: DrainTime {
        DrainTime(
            configured: .seconds(configuration.drainSeconds),
            keepsPodsWaiting: serving.openerLost.isReported && !operators.endpoint.isTaken)
    }

    private var servingStages: [Stage] {
        let server = serving.server
        let stop = ClosingService { [self] in
            if operators.endpoint.isTaken { try? await Task.sleep(for: Self.acceptTime) }
            await server.stopAccepting()
            // From here on a new agent can begin, and nothing that it writes is written over.
            operators.kernelSide.end()
            kernel.lock.release()
            await server.shutDownGracefully(within: drainTime.requests, keepsIdle: operators.endpoint.isTaken)
        }
        var stages = [
            Stage(service: FailingService { [lost = serving.openerLost] in try await lost.wait() }, abandon: {}),
            Stage(
                service: stop,
                abandon: { [self] in
                    // The agent that runs takes everything back meanwhile.
                    operators.kernelSide.end()
                    kernel.lock.release()
                    await server.shutDownGracefully(within: .zero)
                }),
            .runs { [self] in await sayReady() },
        ]
        if let taint = operators.startupTaint { stages.append(.runs { await taint.run() }) }
        return stages
    }
}
