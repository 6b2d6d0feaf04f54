import type { Config } from "../config/schema.ts"
import { sampleClock } from "../lib/clock.ts"
import { SERIES } from "../observe/catalogue.ts"
import { createExposition, type Exposition, type GaugeRow } from "../observe/exposition.ts"
import { LabelDirectory } from "../observe/labels.ts"
import { createSeriesBuffer, Series, seriesKey } from "../observe/series.ts"
import { FAILURES } from "../policies/failure.ts"
import { describeServices, type ServiceView } from "../upstream/describe.ts"
import { HealthChecker } from "../upstream/health.ts"
import { clearWorker, createUpstreamMemory, type UpstreamMemory } from "../upstream/memory.ts"
import { type RecoveryScope, resetBreaker, returnInstances } from "../upstream/recovery.ts"
import { AbuseKeeper } from "./abuse_keeper.ts"
import { type BlockSync, createBlockSync } from "./block_sync.ts"
import type { ControlOptions } from "./control_options.ts"
import type { ControlQuestion, ControlReply } from "./control_question.ts"
import type { ControlStatus, ReloadOutcome } from "./control_status.ts"
import { DiscoveryKeeper } from "./discovery_keeper.ts"
import { planSources } from "./discovery_sources.ts"
import { gaugeRows } from "./gauges.ts"
import { HealthWatch } from "./health_watch.ts"
import { InForce } from "./in_force.ts"
import { LimitKeeper } from "./limit_keeper.ts"
import type { FromWorker, PemPair, ToWorker } from "./protocol.ts"
import { Supervisor } from "./supervisor.ts"
import { TlsKeeper } from "./tls_keeper.ts"

/** Longest wait at start for what sources of instances find. */
const FIRST_FINDINGS_MS = 1000

/** Slots of the control plane's own metrics table. */
const OWN_SERIES = 16

/**
 * The control plane: it owns the configuration in force and the memory all threads share, keeps the workers
 * alive, and tells them what changes. It answers no client, so it stays responsive when they are busy.
 */
export class Control {
  readonly #options: ControlOptions
  readonly #memory: UpstreamMemory
  readonly #limits: LimitKeeper
  /** Who is blocked. */
  readonly abuse: AbuseKeeper
  /** `undefined`: without Redis. */
  readonly blockSync: BlockSync | undefined
  readonly #labels = new LabelDirectory()
  /** One a worker; the last is the control plane's own. */
  readonly #series: readonly SharedArrayBuffer[]
  readonly #own: Series
  readonly #supervisor: Supervisor
  readonly #health: HealthChecker
  readonly #healthWatch: HealthWatch
  readonly #startedAt: number
  readonly metrics: Exposition
  readonly #inForce: InForce
  readonly #discovery: DiscoveryKeeper
  readonly #tls: TlsKeeper
  #port = 0
  readonly #circuitMoves = new Map<string, number>()
  #restarts = 0
  #draining = false

  constructor(options: ControlOptions, tls: PemPair | undefined) {
    this.#options = options
    this.#tls = new TlsKeeper(tls, {
      tell: (pair) => this.#supervisor.broadcast({ kind: "tls", pair }),
      log: options.log,
    })
    this.#startedAt = options.now()
    this.#memory = createUpstreamMemory(options.workers)
    this.#limits = options.sharedLimits?.keeper ?? new LimitKeeper(options.config.limits.max_keys)
    this.abuse = new AbuseKeeper({
      ...options,
      origin: Bun.randomUUIDv7("base64url"),
      record: (record, event) => options.identity.record(record, event),
      tell: (change) => this.#supervisor.broadcast({ kind: "blocks", change }),
    })
    this.abuse.apply(options.config)
    this.blockSync = options.redis && createBlockSync(options.redis, this.abuse, options)
    this.#series = Array.from({ length: options.workers + 1 }, (_, i) =>
      i < options.workers ? createSeriesBuffer() : createSeriesBuffer(OWN_SERIES),
    )
    this.#own = new Series(this.#series[options.workers]!)
    this.#health = new HealthChecker(this.#memory, {
      now: options.now,
      random: Math.random,
      onChange: ({ healthy, ...change }) =>
        options.log.warn(healthy ? "instance.healthy" : "instance.unhealthy", change),
    })
    this.#discovery = new DiscoveryKeeper({
      ...options,
      registry: options.registry,
      plan: (config) => planSources(config, options),
      builtins: (config) => options.builtinRoutes(config).map(({ path }) => path),
      onChange: () => this.#inForce.rediscover(),
    })
    const parts = {
      options,
      memory: this.#memory,
      discovery: this.#discovery,
      tls: this.#tls,
      health: this.#health,
      threads: () => this.#supervisor,
      onFile: (config: Config) => {
        const { memory } = this.abuse
        this.abuse.apply(config)
        const scores = this.abuse.memory
        if (scores !== undefined && scores !== memory) this.#supervisor.broadcast({ kind: "scores", scores })
        options.sharedLimits?.sync.apply(config.limits.sync_interval)
      },
    }
    this.#inForce = new InForce(parts, this.#labels)
    this.#healthWatch = new HealthWatch({ ...options, services: () => this.services() })
    this.metrics = createExposition({
      tables: () => this.#series,
      labels: this.#labels,
      codes: Object.keys(FAILURES),
      gauges: () => this.#gauges(),
      version: options.version,
    })
    this.#supervisor = new Supervisor({
      workers: options.workers,
      port: options.config.server.port,
      startThread: options.startThread,
      init: (worker, port) => ({
        kind: "init",
        clock: sampleClock(),
        worker,
        hostname: options.config.server.host,
        port,
        tls: this.#tls.pair,
        memory: this.#memory,
        limits: this.#limits.memory,
        abuse: { scores: this.abuse.memory, blocked: this.abuse.state() },
        series: this.#series[worker]!,
        generation: this.#inForce.generation,
        identity: this.config.auth === undefined ? undefined : options.identity.state(),
      }),
      onMessage: (message, answer) => this.#receive(message, answer),
      onLost: (worker) => {
        this.#restarts++
        clearWorker(this.#memory, worker)
        options.channels?.lostWorker(worker)
        options.safety?.lostWorker(worker)
      },
      log: options.log,
      after: options.after,
    })
    this.#limits.onKey((key) => this.#supervisor.broadcast({ kind: "limit_key", key }))
    options.channels?.onEvents((worker, events) =>
      this.#supervisor.tell(worker, { kind: "channels", events }),
    )
    options.safety?.onNews(
      (news) => this.#supervisor.broadcast({ kind: "safety", news }),
      (worker, news) => this.#supervisor.tell(worker, { kind: "safety", news }),
    )
    options.identity.onChange((change) => this.#supervisor.broadcast({ kind: "identity", change }))
  }

  /** Starts the workers; resolves when all of them listen. Rejects with `StartError`. */
  async start(): Promise<void> {
    try {
      await this.#inForce.open(FIRST_FINDINGS_MS)
      this.#port = await this.#supervisor.start()
    } catch (error) {
      this.#discovery.close()
      this.#health.close()
      throw error
    }
    this.#discovery.begin()
    this.#healthWatch.start()
    this.#tls.watch(this.config.server.tls)
  }

  /** Port clients come to. */
  get port(): number {
    return this.#port
  }

  get config(): Config {
    return this.#inForce.generation.config
  }

  get draining(): boolean {
    return this.#draining
  }

  /** For people: how the gateway is. */
  status(): ControlStatus {
    return {
      generation: this.#inForce.generation.number,
      uptime_s: Math.floor((this.#options.now() - this.#startedAt) / 1000),
      draining: this.#draining,
      port: this.#port,
      workers: this.#supervisor.status(),
      worker_restarts: this.#restarts,
      services: this.services(),
    }
  }

  /**
   * Reads the configuration again and puts it in force, or keeps the old one and tells why. Reloads happen one
   * after another; all that are asked for while one runs become one more.
   */
  reload(): Promise<ReloadOutcome> {
    return this.#inForce.reload()
  }

  /** Services of the configuration in force and how they are. */
  services(): readonly ServiceView[] {
    const { config, slots } = this.#inForce.generation
    return describeServices(this.#memory, config.services, slots, this.#options.now())
  }

  /** Tells the workers that no new requests should come: answers carry `Connection: close`. */
  drain(): void {
    this.#draining = true
    this.#closeKeepers()
    this.#supervisor.broadcast({ kind: "drain" })
  }

  /** Closes the port, lets requests in flight finish, ends the workers. Resolves with how many were cut off. */
  close(timeoutMs: number): Promise<number> {
    return this.#supervisor.close(timeoutMs)
  }

  /** Ends everything at once. */
  terminate(): void {
    this.#closeKeepers()
    this.#supervisor.terminate()
  }

  /** Ends all that changes what workers do. A drain may have done so already. */
  #closeKeepers(): void {
    this.#inForce.close()
    this.#healthWatch.close()
    this.#discovery.close()
    this.#tls.close()
    this.#health.close()
    this.abuse.close()
    this.blockSync?.close()
  }

  /** See upstream/recovery.ts. */
  resetBreaker(service: string): boolean {
    const reset = resetBreaker(service, this.#recoveryScope())
    if (reset) this.#options.log.warn("circuit.reset", { service })
    return reset
  }

  /** See upstream/recovery.ts. */
  returnInstances(service: string, url: string | undefined): number | undefined {
    const returned = returnInstances(service, url, this.#recoveryScope())
    if (returned !== undefined) this.#options.log.warn("instance.returned", { service, returned })
    return returned
  }

  /**
   * Takes an instance out, or back in, for as long as this process runs: it finishes what it has and gets nothing
   * new. `false`: there is no such instance.
   */
  drainInstance(service: string, url: string, on: boolean): boolean {
    return this.#discovery.drain(this.config.services, service, url, on)
  }

  /** Counts a fault of the control plane itself. */
  countFault(): void {
    this.#own.add(seriesKey(SERIES.faults), 1)
  }

  #recoveryScope(): RecoveryScope {
    const { config, slots } = this.#inForce.generation
    return { memory: this.#memory, services: config.services, slots, now: this.#options.now() }
  }

  #receive(message: FromWorker, answer: (message: ToWorker) => void): void {
    const { identity, ledger } = this.#options
    switch (message.kind) {
      case "ask":
        void this.#answer(message.question).then((reply) => answer({ kind: "told", id: message.id, reply }))
        return
      case "quota_back":
        ledger?.quotas.giveBack(message.units)
        return
      case "usage":
        ledger?.usage.add(message.counts)
        return
      case "auth_failures":
        identity.observe(message.failures)
        return
      case "offence":
        this.abuse.offended(message.client, message.violation)
        return
      case "access":
        this.#options.accessLog.push(message.lines)
        return
      case "log":
        this.#options.writeLog(message.line)
        return
      case "circuit": {
        const key = `${message.service} ${message.state}`
        this.#circuitMoves.set(key, (this.#circuitMoves.get(key) ?? 0) + 1)
        return
      }
      case "tls_rejected":
        this.#options.log.error("tls.rejected", { reason: message.error })
    }
  }

  async #answer(question: ControlQuestion): Promise<ControlReply | undefined> {
    const { identity, ledger, sharedLimits, registryFeed, channels, safety } = this.#options
    switch (question.kind) {
      case "channels":
        return channels?.answer(question)
      case "safety":
        return safety?.answer(question)
      case "limit":
        return sharedLimits?.sync.take(question)
      case "quota":
        return ledger?.quotas.answer(question)
      case "registry":
        return registryFeed?.ask(question)
      default:
        return identity.answer(question)
    }
  }

  #gauges(): Iterable<GaugeRow> {
    this.#own.set(seriesKey(SERIES.logDropped), this.#options.accessLog.dropped)
    return [
      ...this.#options.counts.rows(),
      ...this.abuse.rows(),
      ...this.#discovery.rows(),
      ...gaugeRows({
        services: this.services(),
        circuitMoves: this.#circuitMoves,
        reloads: this.#inForce.reloads,
        generation: this.#inForce.generation.number,
        restarts: this.#restarts,
        workers: this.#supervisor.status().filter((worker) => worker.state === "running").length,
        limitKeys: this.#limits.keys(this.#options.now()),
      }),
    ]
  }
}
