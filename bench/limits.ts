import { now } from "../src/lib/clock.ts"
import { KeyedHash } from "../src/lib/keyed_hash.ts"
import { rateLimit } from "../src/policies/rate_limit.ts"
import { createLimitMemory, Decision, LimitTable } from "../src/store/limit_table.ts"
import type { Exchange } from "../src/upstream/exchange.ts"
import { makeExchange } from "../test/support/exchange.ts"
import { makeLimits } from "../test/support/limits.ts"
import { compilePolicy } from "../test/support/policy.ts"
import { makePrincipal } from "../test/support/principal.ts"
import { rssMb } from "../test/support/proc.ts"
import { refusals } from "./refusals.ts"

const KEYS = 1_000_000
const REQUESTS = 300_000
const TARGET_US = 3
const TARGET_MB = 64

/** What `rate_limit` itself costs a request, in this thread alone, and the memory of a million callers. */
export async function limits(): Promise<boolean> {
  console.log(`\nrate_limit, CPU of one request, ${REQUESTS} requests of 1000 callers`)
  console.log(`${"".padEnd(34)}${"µs".padStart(8)}`)
  const user = { by: "user", rate: "100000/s", burst: 1_000_000 }
  const ip = { ...user, by: "ip" }
  const refuse = { by: "ip", rate: "1/d" }
  const known = (i: number) => `198.51.${i >> 8}.${i & 255}`
  const network = (i: number) => `2001:db8:${i.toString(16)}:7::1`
  const costs = [
    measure("by ip (IPv4)", ip, known),
    measure("by ip (IPv6)", ip, network),
    measure("by user", user, known, true),
    measure("by user, with a limit by ip", [user, { ...ip, name: "address" }], known, true),
    measure("by ip, without headers", { ...ip, headers: false }, known),
    measure("by ip, refused", refuse, known),
  ]
  const addedMb = fill()
  const fast = costs.every((us) => us <= TARGET_US)
  const small = addedMb <= TARGET_MB
  console.log(`${fast ? "PASS" : "FAIL"}: at most ${TARGET_US} µs a request`)
  console.log(
    `${small ? "PASS" : "FAIL"}: ${KEYS} callers in ${addedMb.toFixed(0)} MB (target ≤ ${TARGET_MB})`,
  )
  const cheap = await refusals()
  return fast && small && cheap
}

function measure(name: string, options: object, client: (i: number) => string, asUser = false): number {
  const steps = compilePolicy(rateLimit, options, { now, limits: makeLimits() })
  const exchanges = Array.from({ length: 1000 }, (_, i) => {
    const exchange = makeExchange()
    exchange.client = client(i)
    if (asUser) exchange.principal = makePrincipal({ id: `user_${i}`, issuer: "https://api.example.com" })
    return exchange
  })
  const ask = (exchange: Exchange) => {
    exchange.responseEdits.reset()
    steps.request!(exchange)
  }
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    const started = process.cpuUsage()
    for (let i = 0; i < REQUESTS / 5; i++) ask(exchanges[i % 1000]!)
    const { user, system } = process.cpuUsage(started)
    best = Math.min(best, (user + system) / (REQUESTS / 5))
  }
  console.log(`${name.padEnd(34)}${best.toFixed(2).padStart(8)}`)
  return best
}

/** MB more once a million callers have a bucket each. */
function fill(): number {
  Bun.gc(true)
  const before = rssMb(process.pid)
  const memory = createLimitMemory(KEYS)
  const table = new LimitTable(memory)
  const decision = new Decision()
  const bucket = { emissionMs: 3_600_000, toleranceMs: 3_600_000, overflow: 0 }
  const at = now()
  let shared = 0
  const hash = new KeyedHash()
  const started = performance.now()
  for (let i = 0; i < KEYS; i++) {
    hash.start([1, 2]).word(i).finish()
    table.take(hash.high, hash.low, bucket, 1, at, decision)
    if (decision.shared) shared++
  }
  const ns = ((performance.now() - started) / KEYS) * 1e6
  console.log(
    `${KEYS} callers: ${table.countKeys(at)} buckets of their own, ${shared} in a shared one, ${ns.toFixed(0)} ns each; table of ${(memory.byteLength / 1024 ** 2).toFixed(0)} MB`,
  )
  Bun.gc(true)
  return rssMb(process.pid) - before
}

if (import.meta.main) process.exit((await limits()) ? 0 : 1)
