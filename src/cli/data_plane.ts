import { createBuiltins } from "../admin/public.ts"
import { openDoor } from "../edge/open.ts"
import type { Door } from "../edge/serve.ts"
import { ClientGuard } from "../gateway/client_guard.ts"
import { Gateway } from "../gateway/gateway.ts"
import type { FromWorker, Generation, ToWorker, WorkerInit } from "../gateway/protocol.ts"
import { Questions } from "../gateway/questions.ts"
import { compileRelayLimits } from "../gateway/relay_limits.ts"
import type { Runtime } from "../gateway/runtime.ts"
import { Shedding } from "../gateway/shedding.ts"
import { UsageBatch } from "../gateway/usage_batch.ts"
import { roundClock, roundWallClock } from "../http1/round.ts"
import { Authenticator } from "../identity/authenticator.ts"
import { now } from "../lib/clock.ts"
import { VERSION } from "../lib/version.ts"
import { Accounting, AttemptCounter, countAuthentications, countRelayed } from "../observe/account.ts"
import { SERIES } from "../observe/catalogue.ts"
import { countConnections } from "../observe/connection_counts.ts"
import { type FaultKind, FaultLog } from "../observe/fault_log.ts"
import { OTHER, UNMATCHED } from "../observe/labels.ts"
import { LimitCounts } from "../observe/limit_counts.ts"
import { LineBuffer } from "../observe/line_buffer.ts"
import { createLog } from "../observe/log_json.ts"
import { Series, seriesKey } from "../observe/series.ts"
import { countShed } from "../observe/shed_counts.ts"
import { FAILURES } from "../policies/failure.ts"
import type { Realtime } from "../realtime/channels/realtime.ts"
import { Relays } from "../realtime/relays.ts"
import type { TopicServer } from "../realtime/socket.ts"
import type { QuotaTake, QuotaUnits } from "../store/quota_usage.ts"
import { describeServices } from "../upstream/describe.ts"
import { FailedChains } from "../upstream/failed_chain.ts"
import { type AttemptKind, Upstreams } from "../upstream/upstreams.ts"
import { LoadWatch } from "./load_watch.ts"
import { PoolGauges } from "./pool_gauges.ts"
import { createRealtime } from "./realtime.ts"
import { shareLimits, type WorkerLimits } from "./worker_limits.ts"

/** Longest wait at the end for services to get the messages that wait for them. */
const FORWARDS_MS = 5000

/** One data-plane thread: it answers clients with the newest configuration it was told. */
export class DataPlane {
  readonly #post: (message: FromWorker) => void
  readonly #accessLog: LineBuffer
  readonly #upstreams: Upstreams
  readonly #gateway: Gateway
  readonly #relays = new Relays({ now })
  readonly #chains = new FailedChains()
  readonly #runtime: Runtime
  readonly #door: Door
  /** One a service, by name: found at the first attempt. */
  readonly #attempts = new Map<string, AttemptCounter>()
  readonly #faults: FaultLog
  readonly #questions: Questions
  readonly #identity: Authenticator
  readonly #poolGauges: PoolGauges
  readonly #shedding: Shedding
  readonly #loadWatch: LoadWatch
  readonly #limitCounts: LimitCounts
  readonly #limits: WorkerLimits
  readonly #guard: ClientGuard
  readonly #usage: UsageBatch
  readonly #servers = new Set<TopicServer>()
  readonly #realtime: Realtime
  readonly #everySecond: ReturnType<typeof setInterval>
  #generation: Generation

  /** Opens the port. Throws `Error` with a message for the operator when it cannot. */
  constructor(init: WorkerInit, post: (message: FromWorker) => void) {
    this.#post = post
    this.#generation = init.generation
    const series = new Series(init.series)
    const { config } = init.generation
    const log = createLog(config.log.level, (line) => post({ kind: "log", line }))
    this.#faults = new FaultLog({ log, onFault: () => series.add(seriesKey(SERIES.faults), 1), now })
    this.#questions = new Questions((id, question) => post({ kind: "ask", id, question }), now)
    this.#identity = new Authenticator({
      ask: (question) => this.#questions.ask(question),
      now,
      wallClock: roundWallClock,
      count: countAuthentications(series),
      report: (failures) => post({ kind: "auth_failures", failures }),
      onRevocationsDropped: (dropped) => log.error("revocations.dropped", { dropped }),
    })
    if (init.identity !== undefined) this.#identity.update(init.identity)
    this.#accessLog = new LineBuffer({
      write: (lines) => post({ kind: "access", lines }),
      onDropped: (lines) => series.add(seriesKey(SERIES.logDropped), lines),
    })
    const onShed = countShed(series)
    this.#shedding = new Shedding({ log, onShed })
    this.#upstreams = new Upstreams(init.memory, init.worker, {
      now: roundClock,
      random: Math.random,
      log,
      onAttempt: (service, _instance, kind) => this.#attempt(series, service.name, kind),
      onShed: (priority) => onShed(priority, "concurrency"),
      onChange: (change) => {
        if (change.kind === "circuit") post({ kind: "circuit", service: change.service, state: change.state })
      },
    })
    this.#limitCounts = new LimitCounts(series)
    this.#guard = new ClientGuard({
      now,
      log,
      series,
      report: (client, violation) => post({ kind: "offence", client, violation }),
    })
    if (init.abuse.scores !== undefined) this.#guard.share(init.abuse.scores)
    this.#guard.take({ blocked: init.abuse.blocked, ended: [] })
    this.#usage = new UsageBatch((counts) => post({ kind: "usage", counts }), Date.now)
    this.#limits = shareLimits(init.limits, this.#limitCounts, this.#questions, log)
    this.#realtime = createRealtime({
      worker: init.worker,
      identity: this.#identity,
      questions: this.#questions,
      servers: this.#servers,
      service: (name) => this.#upstreams.service(name),
      log,
    })
    const runtime = {
      now,
      usage: this.#usage,
      guard: this.#guard,
      upstreams: this.#upstreams,
      shedding: this.#shedding,
      builtins: createBuiltins({
        version: VERSION,
        wallClock: Date.now,
        ready: () => this.#gateway.ready && !this.#gateway.draining,
        config: () => this.#generation.config,
        services: () =>
          describeServices(init.memory, this.#generation.config.services, this.#generation.slots, now()),
        ask: (question) => this.#questions.ask(question),
        realtime: this.#realtime,
      }),
      accounting: new Accounting(series, {
        codes: Object.keys(FAILURES),
        serviceId: (service) => this.#generation.labels.service[service] ?? OTHER,
      }),
      relays: this.#relays,
      chainOf: (service: string) =>
        this.#chains.of(service, {
          memory: init.memory,
          services: this.#generation.config.services,
          slots: this.#generation.slots,
          now: now(),
        }),
      relayLimits: compileRelayLimits(config.server.websocket),
      onRelay: (change: 1 | -1) => series.add(seriesKey(SERIES.websockets), change),
      onRelayed: countRelayed(series),
      policyDeps: {
        // Exact: threads that share a limit must agree on the time.
        now,
        wallClock: Date.now,
        random: Math.random,
        log,
        identity: this.#identity,
        limits: this.#limits,
        quotas: {
          take: (takes: readonly QuotaTake[]) => this.#questions.ask({ kind: "quota", takes }),
          giveBack: (units: readonly QuotaUnits[]) => post({ kind: "quota_back", units }),
        },
        accessLog: this.#accessLog,
      },
      log,
    }
    this.#runtime = runtime
    this.#gateway = new Gateway(runtime)
    this.#apply(init.generation)
    this.#door = this.#open(init, log, series)
    // After Accounting, which sets gauges to zero.
    this.#poolGauges = new PoolGauges(series)
    this.#loadWatch = new LoadWatch({
      series,
      worker: init.worker,
      shedding: this.#shedding,
      upstreams: this.#upstreams,
      serviceId: (service) => this.#generation.labels.service[service],
      now,
      rss: process.memoryUsage.rss,
    })
    this.#everySecond = setInterval(() => {
      this.#setPoolGauges()
      this.#questions.sweep()
      this.#usage.flush()
      this.#guard.tick()
      this.#identity.tick()
      this.#realtime.tick()
    }, 1000)
    post({ kind: "ready", port: this.#door.port, generation: init.generation.number })
  }

  /** Handles what comes after `init`. */
  receive(message: Exclude<ToWorker, WorkerInit>): void {
    switch (message.kind) {
      case "apply":
        this.#post({
          kind: "applied",
          generation: message.generation.number,
          error: this.#tryApply(message.generation),
        })
        return
      case "services": {
        const { labels, ...rest } = this.#generation
        const config = {
          ...rest.config,
          services: { ...rest.config.services, ...message.services },
        }
        const { slots } = message
        this.#gateway.update(config, message.services, slots)
        this.#generation = { ...rest, config, slots, labels: { ...labels, instance: message.instanceLabels } }
        return
      }
      case "tls":
        try {
          this.#door.replaceTls(message.pair)
        } catch (error) {
          this.#post({ kind: "tls_rejected", error: (error as Error).message })
        }
        return
      case "drain":
        this.#gateway.draining = true
        return
      case "close":
        void this.#close()
        return
      case "ping":
        this.#post({ kind: "pong" })
        return
      case "told":
        this.#questions.told(message.id, message.reply)
        return
      case "limit_key":
        this.#limits.key = message.key
        // Limits are compiled by it.
        this.#apply(this.#generation)
        return
      case "blocks":
        this.#guard.take(message.change)
        return
      case "scores":
        this.#guard.share(message.scores)
        return
      case "identity":
        this.#identity.update(message.change)
        if (message.change.revocations.length > 0) this.#realtime.revoked()
        return
      case "channels":
        this.#realtime.told(message.events)
        return
      case "safety":
        this.#realtime.safety.told(message.news)
        return
    }
  }

  /** Something this thread did that nothing caught: recorded, and survived. */
  fault(kind: FaultKind, error: unknown): void {
    this.#faults.record(kind, error)
  }

  #setPoolGauges(): void {
    this.#poolGauges.update(this.#upstreams.instances(), this.#generation.labels.instance)
  }

  #open(init: WorkerInit, log: ReturnType<typeof createLog>, series: Series): Door {
    const { server } = init.generation.config
    const { hostname, port, tls } = init
    try {
      return openDoor({
        gateway: this.#gateway,
        server,
        tls,
        hostname,
        port,
        clock: roundClock,
        wallClock: Date.now,
        log,
        counts: countConnections(series),
        servers: this.#servers,
      })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== "EADDRINUSE") throw error
      throw new Error(
        `listening on ${hostname}:${port}: the port is taken by another program; choose another server.port`,
      )
    }
  }

  #apply(generation: Generation): void {
    const { route } = generation.labels
    const routeId = (label: string): number => (label === "unmatched" ? UNMATCHED : (route[label] ?? OTHER))
    // First: policies are compiled by it.
    this.#identity.apply(generation.config.auth)
    this.#usage.apply(generation.config.usage?.enabled ?? false, generation.config.auth?.issuer)
    this.#limitCounts.ids = generation.labels.limit
    this.#gateway.apply(generation.config, generation.slots, routeId)
    this.#generation = generation
    const { max_lag, max_memory } = generation.config.server.shedding
    this.#shedding.apply({ maxLagMs: max_lag, maxMemoryBytes: max_memory })
    const { websocket } = generation.config.server
    this.#runtime.relayLimits = compileRelayLimits(websocket)
    this.#relays.max = websocket.max_connections
    this.#realtime.apply(generation.config.realtime, generation.config.safety?.events)
  }

  #tryApply(generation: Generation): string {
    try {
      this.#apply(generation)
      return ""
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  #attempt(series: Series, service: string, kind: AttemptKind): void {
    let counter = this.#attempts.get(service)
    if (counter === undefined) {
      counter = new AttemptCounter(series, this.#generation.labels.service[service] ?? OTHER)
      this.#attempts.set(service, counter)
    }
    counter.count(kind === "success" ? "answered" : kind)
  }

  async #close(): Promise<void> {
    const { server } = this.#generation.config
    const closed = this.#door.close()
    // The port is closed by now: clients that come back find another instance.
    this.#relays.shutdown()
    this.#realtime.shutdown()
    await closed
    await this.#relays.emptied()
    await this.#realtime.drainForwards(Math.min(FORWARDS_MS, server.shutdown_timeout / 2))
    this.#upstreams.close()
    clearInterval(this.#everySecond)
    this.#loadWatch.close()
    this.#questions.close()
    this.#identity.tick()
    this.#usage.flush()
    this.#setPoolGauges()
    await this.#accessLog.flush()
    this.#post({ kind: "closed" })
  }
}
