import { type Problem, problemText } from "../config/problem.ts"
import type { Config } from "../config/schema.ts"
import { SERIES } from "../observe/catalogue.ts"
import { createExposition, type Exposition, type GaugeRow } from "../observe/exposition.ts"
import { LabelDirectory } from "../observe/labels.ts"
import { createSeriesBuffer, Series, seriesKey } from "../observe/series.ts"
import { FAILURES } from "../policies/failure.ts"
import { describeServices, type ServiceView } from "../upstream/describe.ts"
import { HealthChecker } from "../upstream/health.ts"
import { clearWorker, createUpstreamMemory, type UpstreamMemory } from "../upstream/memory.ts"
import { type RecoveryScope, resetBreaker, returnInstances } from "../upstream/recovery.ts"
import { SlotDirectory } from "../upstream/slots.ts"
import { AbuseKeeper } from "./abuse_keeper.ts"
import { assignLabels } from "./assign_labels.ts"
import type { ControlOptions } from "./control_options.ts"
import type { ControlQuestion, ControlReply } from "./control_question.ts"
import type { ControlStatus, ReloadOutcome } from "./control_status.ts"
import { gaugeRows } from "./gauges.ts"
import { LimitKeeper } from "./limit_keeper.ts"
import type { FromWorker, Generation, PemPair, ToWorker } from "./protocol.ts"
import { restartNeeded } from "./restart_needed.ts"
import { Supervisor } from "./supervisor.ts"
import { TlsKeeper } from "./tls_keeper.ts"

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
  readonly #slots: SlotDirectory
  readonly #labels = new LabelDirectory()
  /** One a worker; the last is the control plane's own. */
  readonly #series: readonly SharedArrayBuffer[]
  readonly #own: Series
  readonly #supervisor: Supervisor
  readonly #health: HealthChecker
  readonly #startedAt: number
  readonly metrics: Exposition
  #generation: Generation
  readonly #tls: TlsKeeper
  #port = 0
  readonly #reloads = { ok: 0, rejected: 0 }
  readonly #circuitMoves = new Map<string, number>()
  #restarts = 0
  #running: Promise<unknown> = Promise.resolve()
  #waiting: Promise<ReloadOutcome> | undefined
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
      record: (record) => options.identity.record(record),
      tell: (change) => this.#supervisor.broadcast({ kind: "blocks", change }),
    })
    this.abuse.apply(options.config)
    this.#slots = new SlotDirectory(this.#memory, options.now)
    this.#series = Array.from({ length: options.workers + 1 }, (_, i) =>
      i < options.workers ? createSeriesBuffer() : createSeriesBuffer(OWN_SERIES),
    )
    this.#own = new Series(this.#series[options.workers]!)
    this.#generation = this.#nextGeneration(1, options.config)
    this.#health = new HealthChecker(this.#memory, {
      now: options.now,
      random: Math.random,
      onChange: ({ healthy, ...change }) =>
        options.log.warn(healthy ? "instance.healthy" : "instance.unhealthy", change),
    })
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
        worker,
        hostname: options.config.server.host,
        port,
        tls: this.#tls.pair,
        memory: this.#memory,
        limits: this.#limits.memory,
        abuse: { scores: this.abuse.memory, blocked: this.abuse.state() },
        series: this.#series[worker]!,
        generation: this.#generation,
        identity: this.config.auth === undefined ? undefined : options.identity.state(),
      }),
      onMessage: (message, answer) => this.#receive(message, answer),
      onLost: (worker) => {
        this.#restarts++
        clearWorker(this.#memory, worker)
      },
      log: options.log,
      after: options.after,
    })
    this.#limits.onKey((key) => this.#supervisor.broadcast({ kind: "limit_key", key }))
    options.identity.onChange((change) => this.#supervisor.broadcast({ kind: "identity", change }))
  }

  /** Starts the workers; resolves when all of them listen. Rejects with `StartError`. */
  async start(): Promise<void> {
    // Before the workers listen: what is down at start should be known as early as can be.
    this.#health.apply(this.config.services, this.#generation.slots)
    try {
      this.#port = await this.#supervisor.start()
    } catch (error) {
      this.#health.close()
      throw error
    }
    this.#tls.watch(this.config.server.tls)
  }

  /** Port clients come to. */
  get port(): number {
    return this.#port
  }

  get config(): Config {
    return this.#generation.config
  }

  get draining(): boolean {
    return this.#draining
  }

  /** For people: how the gateway is. */
  status(): ControlStatus {
    return {
      generation: this.#generation.number,
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
    this.#waiting ??= this.#running.then(() => {
      this.#waiting = undefined
      const outcome = this.#reloadNow().catch((error: Error) =>
        this.#reject([{ path: "", message: error.message }]),
      )
      this.#running = outcome
      return outcome
    })
    return this.#waiting
  }

  /** Services of the configuration in force and how they are. */
  services(): readonly ServiceView[] {
    const { config, slots } = this.#generation
    return describeServices(this.#memory, config.services, slots, this.#options.now())
  }

  /** Tells the workers that no new requests should come: answers carry `Connection: close`. */
  drain(): void {
    this.#draining = true
    this.#tls.close()
    this.#health.close()
    this.abuse.close()
    this.#supervisor.broadcast({ kind: "drain" })
  }

  /** Closes the port, lets requests in flight finish, ends the workers. Resolves with how many were cut off. */
  close(timeoutMs: number): Promise<number> {
    return this.#supervisor.close(timeoutMs)
  }

  /** Ends everything at once. */
  terminate(): void {
    this.#tls.close()
    this.#health.close()
    this.abuse.close()
    this.#supervisor.terminate()
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

  /** Counts a fault of the control plane itself. */
  countFault(): void {
    this.#own.add(seriesKey(SERIES.faults), 1)
  }

  #recoveryScope(): RecoveryScope {
    const { config, slots } = this.#generation
    return { memory: this.#memory, services: config.services, slots, now: this.#options.now() }
  }

  async #reloadNow(): Promise<ReloadOutcome> {
    if (this.#draining) return this.#reject([{ path: "", message: "the gateway is shutting down" }])
    const loaded = this.#options.load()
    if (!loaded.ok) return this.#reject(loaded.problems)
    const old = this.#generation
    try {
      await this.#tls.read(loaded.config.server.tls)
      const next = this.#nextGeneration(old.number + 1, loaded.config)
      // Before the workers, which may ask about its issuers at once. It throws for keys that are gone by now.
      this.#options.identity.apply(loaded.config)
      this.#generation = next
    } catch (error) {
      this.#slots.restore(old.slots)
      return this.#reject([{ path: "", message: (error as Error).message }])
    }
    const errors = await this.#supervisor.apply({ kind: "apply", generation: this.#generation })
    if (errors.length > 0) {
      // Only compiling finds these. All go back to the old one and its very records: health checks write there.
      this.#slots.restore(old.slots)
      this.#generation = old
      await this.#supervisor.apply({ kind: "apply", generation: this.#generation })
      // Last, as it throws when its keys cannot be read any more: everything else is back by then.
      this.#options.identity.apply(old.config)
      return this.#reject(errors.map((message) => ({ path: "", message })))
    }
    return this.#accept(loaded.config, loaded.warnings)
  }

  #accept(config: Config, warnings: readonly Problem[]): ReloadOutcome {
    const { log } = this.#options
    this.#health.apply(config.services, this.#generation.slots)
    this.abuse.apply(config)
    this.#options.sharedLimits?.sync.apply(config.limits.sync_interval)
    this.#tls.watch(config.server.tls)
    this.#reloads.ok++
    const fixed = restartNeeded(this.#options.config, config)
    if (fixed.length > 0) log.warn("config.restart_needed", { settings: fixed })
    const generation = this.#generation.number
    const told = warnings.length === 0 ? undefined : warnings.map(problemText)
    log.info("config.applied", { generation, warnings: told })
    return { result: "applied", generation, restartNeeded: fixed }
  }

  #reject(problems: readonly Problem[]): ReloadOutcome {
    this.#reloads.rejected++
    this.#options.log.error("config.rejected", { problems: problems.map(problemText) })
    return { result: "rejected", problems }
  }

  #nextGeneration(number: number, config: Config): Generation {
    const slots = this.#slots.assign(config.services)
    const labels = assignLabels(this.#labels, config, this.#options.builtinRoutes(config))
    return { number, config, slots, labels }
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
    const { identity, ledger, sharedLimits } = this.#options
    if (question.kind === "limit") return sharedLimits?.sync.take(question)
    return question.kind === "quota" ? ledger?.quotas.answer(question) : identity.answer(question)
  }

  #gauges(): Iterable<GaugeRow> {
    this.#own.set(seriesKey(SERIES.logDropped), this.#options.accessLog.dropped)
    return [
      ...this.#options.counts.rows(),
      ...this.abuse.rows(),
      ...gaugeRows({
        services: this.services(),
        circuitMoves: this.#circuitMoves,
        reloads: this.#reloads,
        generation: this.#generation.number,
        restarts: this.#restarts,
        workers: this.#supervisor.status().filter((worker) => worker.state === "running").length,
        limitKeys: this.#limits.keys(this.#options.now()),
      }),
    ]
  }
}
