import type { Body } from "../../src/http1/body.ts"
import { now } from "../../src/lib/clock.ts"
import { parseAddress } from "../../src/upstream/address.ts"
import type { UpstreamRequest } from "../../src/upstream/ask.ts"
import { Pool, type PoolOptions, type PoolTls } from "../../src/upstream/pool.ts"
import type { PoolConfig } from "../../src/upstream/service.ts"

/** A request for "/" that remembers how its exchange ended. */
export class TestRequest implements UpstreamRequest {
  readonly method: string
  readonly body: Body
  deadlineAt = Number.POSITIVE_INFINITY
  idleTimeoutMs = 0
  headers = "host: service.test\r\n"
  readonly outcomes: string[] = []

  constructor(method = "GET", body?: Body) {
    this.method = method
    this.body = body
  }

  writeHead(out: Buffer, at: number): number {
    return at + out.latin1Write(`${this.method} / HTTP/1.1\r\n${this.headers}`, at)
  }

  finished(outcome: string): void {
    this.outcomes.push(outcome)
  }
}

export interface TestPoolOptions extends Partial<PoolConfig> {
  maxHeadBytes?: number
  tls?: PoolTls
  clock?: () => number
}

/** A pool to the address with small bounds, all of which may be set. */
export function makePool(url: string, options: TestPoolOptions = {}): Pool {
  const { maxHeadBytes = 16_384, tls, clock = now, ...changes } = options
  const pool: PoolOptions["pool"] = {
    max_connections: 4,
    max_idle: 4,
    idle_timeout: 60_000,
    max_waiting: 4,
    wait_timeout: 5000,
    connect_timeout: 5000,
    ...changes,
  }
  return new Pool(parseAddress(url), { pool, maxHeadBytes, tls }, clock)
}
