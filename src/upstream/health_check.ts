import type { Clock } from "../lib/clock.ts"
import type { Address } from "./address.ts"
import type { Ask, Asked, UpstreamRequest } from "./ask.ts"
import { Pool, type PoolOptions } from "./pool.ts"
import type { HealthConfig } from "./service.ts"

/** Runs `run` once after `ms`; the result cancels that. */
export type Schedule = (run: () => void, ms: number) => () => void

export interface HealthCheckParts {
  readonly address: Address
  readonly config: HealthConfig
  /** Of the service; the check has connections of its own. */
  readonly options: PoolOptions
  readonly now: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly schedule: Schedule
  /**
   * Told after each check that leaves a row of passes or failures long enough to decide. `first`: this row has
   * not said so before, there was another result (or none) ahead of it.
   */
  readonly onVerdict: (healthy: boolean, reason: string, first: boolean) => void
}

/** Interval's share by which a check may come earlier or later, so that gateways do not check in step. */
const JITTER = 0.1

/** The repeated check of one instance. A new connection each time: a kept one would hide a full listen queue. */
export class HealthCheck {
  readonly #parts: HealthCheckParts
  readonly #pool: Pool
  #passed = 0
  #failed = 0
  #ask: Ask | undefined
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(parts: HealthCheckParts) {
    const { pool, ...rest } = parts.options
    this.#parts = parts
    this.#pool = new Pool(
      parts.address,
      // Two, because a dead host may hold one until the kernel gives it up.
      { ...rest, pool: { ...pool, max_connections: 2, max_idle: 0 } },
      parts.now,
    )
  }

  /** Checks after `delayMs`, 0: at once, and then again and again. */
  start(delayMs = 0): void {
    if (delayMs === 0) void this.#run()
    else this.#cancel = this.#parts.schedule(() => void this.#run(), delayMs)
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
    this.#ask?.cancel()
    this.#pool.close()
  }

  async #run(): Promise<void> {
    const { config, now, random, schedule } = this.#parts
    this.#ask = this.#pool.ask(this.#request(now() + config.timeout))
    const asked = await this.#ask.result
    this.#ask = undefined
    if (this.#stopped) return
    this.#judge(asked)
    const wait = config.interval * (1 - JITTER + 2 * JITTER * random())
    this.#cancel = schedule(() => void this.#run(), wait)
  }

  #judge(asked: Asked): void {
    const { config, onVerdict } = this.#parts
    const reason = asked.kind === "response" ? `status ${asked.status}` : `${asked.reason}: ${asked.cause}`
    if (asked.kind === "response" && asked.body !== undefined && !(asked.body instanceof Uint8Array))
      asked.body.cancel()
    if (asked.kind === "response" && isExpected(asked.status, config)) {
      this.#failed = 0
      this.#passed++
      if (this.#passed >= config.healthy_after) onVerdict(true, reason, this.#passed === config.healthy_after)
    } else {
      this.#passed = 0
      this.#failed++
      if (this.#failed >= config.unhealthy_after)
        onVerdict(false, reason, this.#failed === config.unhealthy_after)
    }
  }

  #request(deadlineAt: number): UpstreamRequest {
    const { config, address } = this.#parts
    const head = `GET ${config.path} HTTP/1.1\r\nhost: ${config.host ?? address.authority}\r\nuser-agent: gatehouse-health\r\naccept: */*\r\n`
    return {
      method: "GET",
      body: undefined,
      deadlineAt,
      idleTimeoutMs: 0,
      writeHead: (out, at) => at + out.latin1Write(head, at),
      finished: () => undefined,
    }
  }
}

function isExpected(status: number, { expect }: HealthConfig): boolean {
  return expect.length === 0 ? status >= 200 && status < 300 : expect.includes(status)
}
