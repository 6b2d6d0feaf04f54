import { CLOSED, LoadConnection, type LoadRequest, type LoadTarget } from "./load_connection.ts"

/** One request and what came of it. */
export interface Sample {
  readonly kind: string
  /** 0: no answer. */
  readonly status: number
  /** Why there is no answer; "" when there is one. */
  readonly fault: string
  /** From when it was due to the end of its answer. */
  readonly ms: number
  /** `performance.now()` when it was due. */
  readonly at: number
  /** How late the load itself was with it. Where this is much, the load is too slow and not the target. */
  readonly lateMs: number
}

/** Requests of one kind, at a fixed rate. */
export interface Rate extends LoadRequest {
  readonly kind: string
  readonly perSecond: number
}

export interface OpenLoadOptions {
  readonly target: LoadTarget
  /** Most connections at a time; a request that is due while all are busy waits, and its time counts. Default: any number. */
  readonly connections?: number
  /** An answer later than this after its request was due is a fault. Default: 10 seconds. */
  readonly timeoutMs?: number
  onSample(sample: Sample): void
}

interface Due extends LoadRequest {
  readonly kind: string
  readonly at: number
  readonly lateMs: number
  /** Whether it was sent again already. */
  again: boolean
}

/** Timers may be late by half of this; the last of a wait is spent asking for the time. */
const TIMER_MS = 2
/** Longest sleep, so that `stop` and timeouts are seen. */
const LONGEST_SLEEP_MS = 50
/** Requests that may wait for a connection; those beyond are faults. */
const MAX_WAITING = 200_000
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD"])

/** A GET as it goes over the wire. */
export function getRequest(path: string, host = "127.0.0.1", fields = ""): LoadRequest {
  return {
    method: "GET",
    bytes: Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`, "latin1"),
  }
}

/**
 * Open-loop load: requests are due at fixed times, whatever becomes of those before, and their time counts from then
 * (a closed loop would wait with a slow service, and hide what it does to callers: "coordinated omission").
 * Connections are opened when needed, kept, and used in turn.
 */
export class OpenLoad {
  readonly #target: LoadTarget
  readonly #limit: number
  readonly #timeoutMs: number
  readonly #onSample: (sample: Sample) => void
  readonly #idle = new Set<LoadConnection>()
  readonly #busy = new Map<LoadConnection, Due>()
  /** In the order they were due. */
  readonly #waiting = new Set<Due>()
  #sweptAt = 0
  #running = true
  #opened = 0

  constructor({
    target,
    connections = Number.POSITIVE_INFINITY,
    timeoutMs = 10_000,
    onSample,
  }: OpenLoadOptions) {
    this.#target = target
    this.#limit = connections
    this.#timeoutMs = timeoutMs
    this.#onSample = onSample
  }

  /** Requests under way or waiting. */
  get pending(): number {
    return this.#busy.size + this.#waiting.size
  }

  /** Connections opened so far. */
  get opened(): number {
    return this.#opened
  }

  /** Asks at these rates for so long; resolves when the time is over, whatever is still under way. */
  async run(ms: number, rates: readonly Rate[]): Promise<void> {
    const startedAt = performance.now()
    const end = startedAt + ms
    const sent = rates.map(() => 0)
    while (this.#running) {
      const now = performance.now()
      let next = now + LONGEST_SLEEP_MS
      for (const [i, rate] of rates.entries()) {
        const apart = 1000 / rate.perSecond
        let at = startedAt + sent[i]! * apart
        for (; at <= now && at < end; at = startedAt + ++sent[i]! * apart) this.#due(rate, at, now)
        next = Math.min(next, at)
      }
      this.#sweep(now)
      if (now >= end) return
      await pause(Math.min(next, end) - performance.now())
    }
  }

  /** Waits until all have their answer, or are late for good. */
  async settle(): Promise<void> {
    const end = performance.now() + this.#timeoutMs + LONGEST_SLEEP_MS
    while (this.#running && this.pending > 0 && performance.now() < end) {
      await Bun.sleep(2)
      this.#sweep(performance.now())
    }
  }

  /** Ends `run` and `settle` before their time. */
  stop(): void {
    this.#running = false
  }

  /** Breaks off what is under way, without a sample. */
  close(): void {
    this.#running = false
    this.#waiting.clear()
    for (const connection of [...this.#busy.keys(), ...this.#idle]) connection.terminate()
    this.#busy.clear()
    this.#idle.clear()
  }

  #due({ kind, method, bytes }: Rate, at: number, now: number): void {
    const due: Due = { kind, method, bytes, at, lateMs: now - at, again: false }
    if (this.#waiting.size >= MAX_WAITING) this.#tell(due, 0, "too many wait for a connection")
    else if (!this.#send(due)) this.#waiting.add(due)
  }

  /** Whether there was a connection for it. */
  #send(due: Due): boolean {
    // The one that has been idle longest, so that all are used, on all workers.
    for (const connection of this.#idle) {
      this.#idle.delete(connection)
      this.#busy.set(connection, due)
      connection.send(due)
      return true
    }
    if (this.#busy.size >= this.#limit) return false
    this.#open(due)
    return true
  }

  #open(due: Due): void {
    this.#opened++
    this.#busy.set(new LoadConnection(this.#target, due, this.#events), due)
  }

  readonly #events = {
    answered: (connection: LoadConnection, status: number, keep: boolean): void => {
      const due = this.#busy.get(connection)!
      this.#busy.delete(connection)
      this.#tell(due, status, "")
      if (keep) this.#idle.add(connection)
      this.#next()
    },
    lost: (connection: LoadConnection, fault: string, began: boolean): void => {
      const due = this.#busy.get(connection)
      this.#busy.delete(connection)
      if (!this.#idle.delete(connection) && due !== undefined) {
        // The server may close a kept connection at the moment it is used; every client asks again then.
        const stale = fault === CLOSED && !began && !due.again && IDEMPOTENT.has(due.method)
        due.again = true
        if (stale) this.#open(due)
        else this.#tell(due, 0, fault)
      }
      this.#next()
    },
  }

  /** The one that waits longest has its turn; whether one did. */
  #next(): boolean {
    for (const due of this.#waiting) {
      if (!this.#running || !this.#send(due)) return false
      this.#waiting.delete(due)
      return true
    }
    return false
  }

  #sweep(now: number): void {
    if (now - this.#sweptAt < LONGEST_SLEEP_MS) return
    this.#sweptAt = now
    const oldest = now - this.#timeoutMs
    for (const [connection, due] of this.#busy) {
      if (due.at > oldest) continue
      this.#busy.delete(connection)
      connection.terminate()
      this.#tell(due, 0, "no answer in time")
    }
    for (const due of this.#waiting) {
      if (due.at > oldest) break
      this.#waiting.delete(due)
      this.#tell(due, 0, "no connection in time")
    }
    while (this.#next());
  }

  #tell({ kind, at, lateMs }: Due, status: number, fault: string): void {
    this.#onSample({ kind, status, fault, ms: performance.now() - at, at, lateMs })
  }
}

/** Sleeps as long as timers are exact enough, then only lets sockets have their turn. */
function pause(ms: number): Promise<void> {
  if (ms > TIMER_MS) return Bun.sleep(Math.floor(ms - TIMER_MS / 2))
  const { promise, resolve } = Promise.withResolvers<void>()
  setImmediate(resolve)
  return promise
}
