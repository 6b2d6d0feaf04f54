import type { Asked, AskedFailure, AskedResponse } from "../../src/upstream/ask.ts"
import type { Pool } from "../../src/upstream/pool.ts"
import { type RawOptions, type RawScript, RawUpstream } from "./raw_upstream.ts"
import { makePool, type TestPoolOptions, TestRequest } from "./upstream_request.ts"

const upstreams: RawUpstream[] = []
const pools: Pool[] = []

/** For `afterEach`: closes every pool and upstream made here. */
export function closeAll(): void {
  for (const pool of pools.splice(0)) pool.close()
  for (const upstream of upstreams.splice(0)) upstream.stop()
}

export function listen(script: RawScript, options?: RawOptions): RawUpstream {
  const upstream = new RawUpstream(script, options)
  upstreams.push(upstream)
  return upstream
}

export function poolTo(url: string, options?: TestPoolOptions): Pool {
  const pool = makePool(url, options)
  pools.push(pool)
  return pool
}

export const get = (pool: Pool, request = new TestRequest()) => pool.ask(request).result

/** The answer, or an error that says why there is none. */
export function response(asked: Asked): AskedResponse {
  if (asked.kind !== "response") throw new Error(`failed: ${asked.reason}: ${asked.cause}`)
  return asked
}

export function failure(asked: Asked): AskedFailure {
  if (asked.kind !== "failed") throw new Error(`answered ${asked.status}`)
  return asked
}
