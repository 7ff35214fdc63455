extension TokenService {
    /// Fetches, ends waits and cleans up until the task is cancelled; then answers the callers that still wait. Call
    /// once.
    package func run() async {
        // The share of a quota counts from here, and not from the first pod that asks.
        update { table, now in table.keepShare(now: now) }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.expireWaiters(in: .token, whenever: self.tokenDeadlinesChanged) }
            group.addTask {
                await self.expireWaiters(in: .serviceAccount, whenever: self.serviceAccountDeadlinesChanged)
            }
            group.addTask { await self.sweepRegularly() }
            group.addTask { await self.continueSpacedFetches() }
            for await job in jobs {
                group.addTask {
                    switch job {
                    case .token(let fetch):
                        await ClientWait.$began.withValue(fetch.waitingSince) { await self.execute(fetch) }
                    case .serviceAccount(let fetch):
                        await ClientWait.$began.withValue(fetch.waitingSince) { await self.execute(fetch) }
                    }
                }
            }
            // Only cancellation ends the stream; it has reached the children as well.
            update { table, now in table.stop(now: now) }
        }
    }

    // MARK: Fetches

    private func execute(_ fetch: TokenFetch) async {
        let startedAt = clock.now
        let settle: @Sendable (Result<MintedToken, UpstreamFailure>) -> Void = { result in
            let now = self.clock.now
            guard self.update(ending: .of(fetch.key.pod), { table, now in table.settle(fetch, result, now: now) })
            else { return }
            let failure: UpstreamFailure? = if case .failure(let failure) = result { failure } else { nil }
            self.observer(
                TokenFetchReport(
                    pod: fetch.pod, key: fetch.key, failure: failure, duration: now - startedAt,
                    subjectID: try? result.get().subjectID))
        }
        await race(until: startedAt + configuration.fetchDeadline) {
            do throws(UpstreamFailure) {
                settle(
                    .success(
                        try await self.pipeline.mint(fetch) { progress in
                            self.update(ending: .none) { table, now in table.progressed(fetch, progress, now: now) }
                        }))
            } catch {
                settle(.failure(error))
            }
        } onDeadline: {
            settle(.failure(self.overdue(in: self.read { $0.stage(of: fetch) })))
        }
        update(ending: .none) { table, now in table.release(fetch, now: now) }
    }

    private func execute(_ fetch: ServiceAccountFetch) async {
        let startedAt = clock.now
        let settle: @Sendable (Result<ServiceAccountRecord, UpstreamFailure>) -> Void = { result in
            let now = self.clock.now
            let isWanted = self.update { table, now in table.settle(fetch, result, startedAt: startedAt, now: now) }
            guard isWanted, case .failure(let failure) = result else { return }
            self.accountObserver(
                ServiceAccountFailureReport(account: fetch.reference, failure: failure, duration: now - startedAt))
        }
        await race(until: startedAt + configuration.fetchDeadline) {
            do throws(UpstreamFailure) {
                settle(
                    .success(
                        try await self.pipeline.readServiceAccount(fetch.reference) { progress in
                            self.update(ending: .none) { table, _ in table.progressed(fetch, progress) }
                        }))
            } catch {
                settle(.failure(error))
            }
        } onDeadline: {
            settle(.failure(self.overdue(in: .serviceAccount)))
        }
    }

    /// Runs `work` and cancels it at `deadline`, after `onDeadline` has told those who wait.
    private func race(
        until deadline: ContinuousClock.Instant,
        _ work: @escaping @Sendable () async -> Void,
        onDeadline: @escaping @Sendable () -> Void
    ) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await work() }
            group.addTask {
                do { try await self.clock.sleep(until: deadline) } catch { return }
                onDeadline()
            }
            await group.next()
            group.cancelAll()
        }
    }

    private func overdue(in stage: FetchStage) -> UpstreamFailure {
        UpstreamFailure(
            upstream: stage.upstream, kind: .unavailable,
            message: "no answer within \(configuration.fetchDeadline.components.seconds) s from \(stage.rawValue)")
    }

    // MARK: Time

    /// Ends waits whose time is up. The queue is in order and its distances are equal, so while this sleeps until the
    /// first, none earlier can come.
    private func expireWaiters(
        in queue: WaitQueue, whenever changed: AsyncStream<Void>
    ) async {
        for await _ in changed {
            while let deadline = read({ $0[queue].first }) {
                do { try await clock.sleep(until: deadline) } catch { return }
                // The deadline of a request that was answered long ago changes nothing, and ends no lease.
                update(onlyIfWorkFollows: true) { table, now in table.expireWaiters(in: queue, now: now) }
            }
        }
    }

    /// Starts the fetches that wait for the pace of their upstream, each when its moment has come.
    private func continueSpacedFetches() async {
        await withDiscardingTaskGroup { group in
            for await _ in pacesChanged {
                guard let moment = update(ending: .none, { table, _ in table.takePacedWake() }) else { continue }
                group.addTask {
                    do { try await self.clock.sleep(until: moment) } catch { return }
                    self.update(ending: .none) { table, now in table.continueSpacedFetches(at: moment, now: now) }
                }
            }
        }
    }

    private func sweepRegularly() async {
        while true {
            do { try await clock.sleep(until: clock.now + configuration.sweepInterval) } catch { return }
            update { table, now in table.sweep(now: now) }
        }
    }
}
