import { accessToken } from "../test/support/access_token.ts"
import { SECRET } from "../test/support/authenticator.ts"
import { openGateway } from "./gateway.ts"
import { CONTENDER_CORE, cpuUs } from "./process.ts"

const CONNECTIONS = 16
const ROUND_MS = 1500
/** CPU a quota costs a request, worker and control plane together. */
const TARGET_US = 250

/** What `quota` costs a request of the running gateway: CPU of all its threads, the write to the disk included. */
export async function quota(): Promise<boolean> {
  const rounds = Number(process.env.BENCH_ROUNDS ?? 3)
  const of = (count: string) => ({ name: count, per: "month", count, limits: { default: 1e12 } })
  const routes = [
    { path: "/without", respond: {} },
    { path: "/request", respond: {}, quota: of("request") },
    { path: "/refused", respond: {}, quota: { ...of("refused"), count: "request", limits: { default: 0 } } },
    { path: "/returned", respond: { status: 404 }, quota: of("success") },
  ]
  const gateway = await openGateway(
    { server: { workers: 1 }, store: "sqlite:./bench.db", auth: { secret: SECRET }, routes },
    CONTENDER_CORE,
  )
  const samples = routes.map(() => [] as number[])
  try {
    // The first round is the warm-up of just-in-time compilers.
    for (let round = 0; round <= rounds; round++)
      for (const [i, { path }] of routes.entries()) {
        const us = await measure(gateway.pid, `http://127.0.0.1:${gateway.port}${path}`)
        if (round > 0) samples[i]!.push(us)
      }
  } finally {
    await gateway.stop()
  }
  const [without = 0, ...costs] = samples.map(median)
  console.log("\nquota, µs of CPU a request, all threads; SQLite")
  for (const [i, name] of ["counted", "refused", "counted and given back"].entries())
    console.log(`${name.padEnd(26)}${(costs[i]! - without).toFixed(0).padStart(6)}`)
  console.log(`${"the request without".padEnd(26)}${without.toFixed(0).padStart(6)}`)
  const held = costs[0]! - without <= TARGET_US
  console.log(`${held ? "PASS" : "FAIL"}: at most ${TARGET_US} µs for a counted request`)
  return held
}

async function measure(pid: number, url: string): Promise<number> {
  const headers = { authorization: `Bearer ${accessToken({ id: "ann" })}` }
  const before = cpuUs([pid])
  const end = performance.now() + ROUND_MS
  let requests = 0
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      await (await fetch(url, { headers })).arrayBuffer()
      requests++
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, client))
  return (cpuUs([pid]) - before) / requests
}

const median = (of: readonly number[]): number => of.toSorted((a, b) => a - b)[of.length >> 1]!

if (import.meta.main) process.exit((await quota()) ? 0 : 1)
