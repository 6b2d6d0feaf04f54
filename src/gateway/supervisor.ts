import type { Log } from "../observe/log.ts"
import type { FromWorker, ToWorker } from "./protocol.ts"

/** A data-plane thread as the control plane sees it. */
export interface WorkerThread {
  post(message: ToWorker): void
  /** Ends the thread at once; its connections are reset. No event follows. */
  terminate(): void
}

export interface ThreadEvents {
  message(message: FromWorker): void
  /** The thread has ended without being told to; called once. */
  lost(reason: string): void
}

/** Starts a thread that waits for its `init` message. */
export type StartThread = (index: number, events: ThreadEvents) => WorkerThread

/** Runs something once after some milliseconds; what it returns takes it back. */
export type After = (ms: number, run: () => void) => () => void

export interface SupervisorOptions {
  readonly workers: number
  readonly startThread: StartThread
  /** The first message of a worker, made from the newest configuration. `port`: 0 lets it choose. */
  readonly init: (index: number, port: number) => ToWorker
  /** Port of the configuration; with 0 the first worker chooses and the others take the same. */
  readonly port: number
  /** Lines, events and questions of a worker; `answer` reaches the thread that asked, if it still lives. */
  readonly onMessage: (message: FromWorker, answer: (message: ToWorker) => void) => void
  /** A worker has died: its marks in shared memory are void from now on. */
  readonly onLost: (index: number) => void
  readonly log: Log
  readonly after: After
}

export interface WorkerStatus {
  readonly index: number
  readonly state: "starting" | "running" | "waiting" | "closed"
  /** How many times it was replaced. */
  readonly restarts: number
  /** Generation of the configuration it answers with; 0 before its first. */
  readonly generation: number
}

/** The data plane could not start; the message is for the operator. */
export class StartError extends Error {}

/** A worker that has answered none of this many pings in a row hangs. */
const UNANSWERED_PINGS = 5
const PING_MS = 2000
const MAX_BACKOFF_MS = 5000
/** A worker that has lived this many pings starts over with no backoff when it dies. */
const PINGS_OF_GOOD_HEALTH = 15

interface Slot {
  readonly index: number
  state: WorkerStatus["state"]
  thread: WorkerThread | undefined
  /** Rises with each thread, so late events of an earlier one are told apart. */
  life: number
  restarts: number
  generation: number
  /** Deaths since it was last in good health. */
  deaths: number
  unanswered: number
  answered: number
  onReady: ((port: number) => void) | undefined
  onFailed: ((reason: string) => void) | undefined
  onApplied: ((error: string) => void) | undefined
}

/**
 * Keeps a fixed number of worker threads alive: starts them, replaces one that dies or hangs, passes new
 * configuration on and takes them down in order. Time comes in as `after`, threads as `startThread`.
 */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #slots: Slot[] = []
  #port: number
  #started = false
  #closing = false
  #stopPings: () => void = () => {}

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#port = options.port
    for (let index = 0; index < options.workers; index++) {
      this.#slots.push({
        index,
        state: "waiting",
        thread: undefined,
        life: 0,
        restarts: 0,
        generation: 0,
        deaths: 0,
        unanswered: 0,
        answered: 0,
        onReady: undefined,
        onFailed: undefined,
        onApplied: undefined,
      })
    }
  }

  /**
   * Starts every worker and resolves with the port once all of them listen. Rejects with `StartError` when
   * one cannot; then none is left running.
   */
  async start(): Promise<number> {
    try {
      const [first, ...rest] = this.#slots
      // Threads load their code side by side; only the port has to be known first.
      for (const slot of this.#slots) this.#spawn(slot)
      if (this.#port === 0) this.#port = await this.#begin(first!)
      const others = this.#options.port === 0 ? rest : this.#slots
      await Promise.all(others.map((slot) => this.#begin(slot)))
    } catch (error) {
      this.terminate()
      throw error
    }
    this.#started = true
    this.#schedulePing()
    return this.#port
  }

  /** Posts a configuration to every worker and resolves with what they refused; empty when all took it. */
  async apply(message: ToWorker & { kind: "apply" }): Promise<readonly string[]> {
    const errors = await Promise.all(
      this.#slots.map((slot) => {
        if (slot.thread === undefined) return ""
        const { promise, resolve } = Promise.withResolvers<string>()
        slot.onApplied = resolve
        slot.thread.post(message)
        return promise
      }),
    )
    return [...new Set(errors.filter((error) => error !== ""))]
  }

  broadcast(message: ToWorker): void {
    for (const slot of this.#slots) slot.thread?.post(message)
  }

  /** To one worker; to none while its thread is being replaced. */
  tell(worker: number, message: ToWorker): void {
    this.#slots[worker]?.thread?.post(message)
  }

  status(): readonly WorkerStatus[] {
    return this.#slots.map(({ index, state, restarts, generation }) => ({
      index,
      state,
      restarts,
      generation,
    }))
  }

  /**
   * Closes every worker: no new connections, requests in flight finish. Resolves with how many were still
   * busy after `timeoutMs` and had to be ended.
   */
  async close(timeoutMs: number): Promise<number> {
    this.#closing = true
    this.#stopPings()
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.after(timeoutMs, resolve)
    this.broadcast({ kind: "close" })
    await Promise.race([late, Promise.all(this.#slots.map((slot) => this.#closed(slot)))])
    cancel()
    const busy = this.#slots.filter((slot) => slot.thread !== undefined).length
    this.terminate()
    return busy
  }

  /** Ends every worker at once. */
  terminate(): void {
    this.#closing = true
    this.#stopPings()
    for (const slot of this.#slots) this.#end(slot)
  }

  #closed(slot: Slot): Promise<void> | undefined {
    if (slot.thread === undefined) return undefined
    const { promise, resolve } = Promise.withResolvers<void>()
    slot.onFailed = () => resolve()
    return promise
  }

  #end(slot: Slot): void {
    slot.state = "closed"
    slot.life++
    slot.thread?.terminate()
    slot.thread = undefined
  }

  #spawn(slot: Slot): void {
    const life = ++slot.life
    slot.state = "starting"
    slot.generation = 0
    slot.unanswered = 0
    slot.answered = 0
    slot.thread = this.#options.startThread(slot.index, {
      message: (message) => {
        if (slot.life === life) this.#receive(slot, life, message)
      },
      lost: (reason) => {
        if (slot.life === life) this.#lost(slot, reason)
      },
    })
  }

  #begin(slot: Slot): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    slot.onReady = resolve
    slot.onFailed = (reason) => reject(new StartError(reason))
    if (slot.thread === undefined) slot.onFailed("the worker thread ended before it could start")
    else slot.thread.post(this.#options.init(slot.index, this.#port))
    return promise
  }

  #receive(slot: Slot, life: number, message: FromWorker): void {
    switch (message.kind) {
      case "ready":
        slot.state = "running"
        slot.generation = message.generation
        slot.onFailed = undefined
        slot.onReady?.(message.port)
        slot.onReady = undefined
        return
      case "applied":
        if (message.error === "") slot.generation = message.generation
        slot.onApplied?.(message.error)
        slot.onApplied = undefined
        return
      case "failed":
        this.#lost(slot, message.reason)
        return
      case "closed":
        this.#end(slot)
        slot.onFailed?.("closed")
        slot.onApplied?.("")
        return
      case "pong":
        slot.unanswered = 0
        if (++slot.answered === PINGS_OF_GOOD_HEALTH) slot.deaths = 0
        return
      default:
        this.#options.onMessage(message, (answer) => {
          if (slot.life === life) slot.thread?.post(answer)
        })
    }
  }

  #lost(slot: Slot, reason: string): void {
    this.#end(slot)
    this.#options.onLost(slot.index)
    // Whoever waits for this worker must not wait for ever: a dead one refuses nothing.
    slot.onApplied?.("")
    slot.onApplied = undefined
    slot.onFailed?.(reason)
    slot.onFailed = undefined
    if (!this.#started || this.#closing) return
    const backoffMs = slot.deaths === 0 ? 0 : Math.min(100 * 2 ** (slot.deaths - 1), MAX_BACKOFF_MS)
    slot.deaths++
    slot.restarts++
    slot.state = "waiting"
    this.#options.log.error("worker.lost", { worker: slot.index, reason, restart_in_ms: backoffMs })
    this.#options.after(backoffMs, () => {
      if (!this.#closing) this.#restart(slot)
    })
  }

  #restart(slot: Slot): void {
    this.#spawn(slot)
    slot.onReady = () => this.#options.log.info("worker.replaced", { worker: slot.index })
    slot.thread!.post(this.#options.init(slot.index, this.#port))
  }

  #schedulePing(): void {
    this.#stopPings = this.#options.after(PING_MS, () => {
      this.#ping()
      this.#schedulePing()
    })
  }

  // Pings are counted, not timed: a control thread that was itself stopped for a while blames nobody.
  #ping(): void {
    for (const slot of this.#slots) {
      if (slot.thread === undefined) continue
      if (slot.unanswered >= UNANSWERED_PINGS) {
        slot.thread.terminate()
        this.#lost(slot, `hangs: ${UNANSWERED_PINGS} pings unanswered`)
        continue
      }
      slot.unanswered++
      slot.thread.post({ kind: "ping" })
    }
  }
}
