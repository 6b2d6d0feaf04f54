import { readdirSync, readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { exchange, type FloodOrder, type FloodReport } from "./flood_worker.ts"
import { openGateway } from "./gateway.ts"
import { CONTENDER_CORE } from "./process.ts"

/** Addresses the flood comes from, 127.0.0.2 on; the user has the one after the last. */
const ATTACKERS = 200
const USER = `127.0.0.${2 + ATTACKERS}`
const USER_PAUSE_MS = 5
const BEFORE_MS = 3000
const FLOOD_MS = 8000
const BLOCK_S = 10
const TARGET_P99_MS = 50
const TARGET_BLOCKED_S = 5
/** After a block is over: workers look once a second. */
const TARGET_UNBLOCKED_S = BLOCK_S + 2

/**
 * A flood of guesses (401) and scans (404) from 200 addresses of loopback beside a user who behaves. The flood must be
 * blocked soon and let in again in time; the user must not notice either.
 */
export async function flood(): Promise<boolean> {
  const gateway = await openGateway(
    {
      server: { workers: 1 },
      abuse: { threshold: 100, allow: [], block: { first: `${BLOCK_S}s` } },
      auth: { secret: "k3J9-aZ81-pQw7-LmN2-xYt5-Vb60-Rs4e" },
      routes: [
        { path: "/ok", respond: { body: "ok" }, auth: { required: false } },
        { path: "/private", respond: { body: "secret" } },
      ],
    },
    CONTENDER_CORE,
  )
  try {
    console.log(`\nflood from ${ATTACKERS} addresses, ${FLOOD_MS / 1000} s; one user beside it`)
    const user = new User(gateway.port)
    await Bun.sleep(BEFORE_MS)
    const before = user.take()

    const core = threadTimes(gateway.pid)
    const startedAt = performance.now()
    const counts = await unleash({ port: gateway.port, attackers: ATTACKERS, forMs: FLOOD_MS })
    const { blockedAtMs } = counts
    const during = user.take()
    const share = coreShare(core, threadTimes(gateway.pid))
    const lastBlockedS = Math.max(...blockedAtMs.values()) / 1000

    const probe = [...blockedAtMs.keys()].slice(0, 20)
    const returned = await Promise.all(probe.map((address) => comesBack(address, gateway.port)))
    const longestS = Math.max(
      ...returned.map((at, i) => (at - startedAt - blockedAtMs.get(probe[i]!)!) / 1000),
    )
    const after = user.take()
    user.stop()

    const row = (name: string, { times, failed }: Taken) =>
      console.log(
        `${name.padEnd(22)} ${String(times.length).padStart(7)} requests  p50 ${ms(times, 0.5)}  p99 ${ms(times, 0.99)}  max ${ms(times, 1)}  failed ${failed}`,
      )
    row("the user before", before)
    row("the user during it", during)
    row("the user afterwards", after)
    const perSecond = (count: number) => Math.round(count / (FLOOD_MS / 1000))
    console.log(
      `the flood:             ${perSecond(counts.answered)} a second answered, ${perSecond(counts.blocked)} a second refused as blocked, ${counts.cut} connections cut`,
    )
    console.log(
      `blocked:               ${blockedAtMs.size} of ${ATTACKERS} addresses, the last after ${lastBlockedS.toFixed(2)} s; let in again ${longestS.toFixed(1)} s after (blocks of ${BLOCK_S} s)`,
    )
    console.log(
      `the worker:            had the core for ${Math.round(share * 100)} % of the time it wanted it, as other programs had it too`,
    )
    const ok =
      before.failed + during.failed + after.failed === 0 &&
      quantile(during.times, 0.99) < TARGET_P99_MS &&
      blockedAtMs.size === ATTACKERS &&
      lastBlockedS < TARGET_BLOCKED_S &&
      longestS < TARGET_UNBLOCKED_S
    console.log(
      `${ok ? "PASS" : "FAIL"}: the user's p99 under ${TARGET_P99_MS} ms and no failure, all blocked within ${TARGET_BLOCKED_S} s, let in within ${TARGET_UNBLOCKED_S} s`,
    )
    return ok
  } finally {
    await gateway.stop()
  }
}

async function unleash(order: FloodOrder): Promise<FloodReport> {
  const worker = new Worker(new URL("./flood_worker.ts", import.meta.url))
  const { promise, resolve } = Promise.withResolvers<FloodReport>()
  worker.addEventListener("message", ({ data }: MessageEvent<FloodReport>) => resolve(data))
  worker.postMessage(order)
  const report = await promise
  worker.terminate()
  return report
}

interface Taken {
  readonly times: number[]
  readonly failed: number
}

/** Asks one request after the other on one connection, with a pause between them. */
class User {
  readonly #socket: Socket
  #times: number[] = []
  #failed = 0
  #askedAt = 0
  #stopped = false

  constructor(port: number) {
    this.#socket = connect({ host: "127.0.0.1", port, localAddress: USER, noDelay: true })
    this.#socket.on("data", (bytes: Buffer) => {
      this.#times.push(performance.now() - this.#askedAt)
      if (!bytes.toString("latin1").startsWith("HTTP/1.1 200")) this.#failed++
      setTimeout(() => this.#ask(), USER_PAUSE_MS)
    })
    this.#socket.on("error", () => this.#failed++)
    this.#socket.on("close", () => {
      if (!this.#stopped) this.#failed++
    })
    this.#socket.on("connect", () => this.#ask())
  }

  /** What came since the last time. */
  take(): Taken {
    const taken = { times: this.#times, failed: this.#failed }
    this.#times = []
    this.#failed = 0
    return taken
  }

  stop(): void {
    this.#stopped = true
    this.#socket.destroy()
  }

  #ask(): void {
    if (this.#stopped) return
    this.#askedAt = performance.now()
    this.#socket.write("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
  }
}

/** When the address is answered again. */
async function comesBack(address: string, port: number): Promise<number> {
  for (;;) {
    const text = await exchange(address, port, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n", 1)
    if (text.startsWith("HTTP/1.1 200")) return performance.now()
    await Bun.sleep(100)
  }
}

/** Nanoseconds each thread has run and has waited to run. */
function threadTimes(pid: number): ReadonlyMap<string, readonly [ran: number, waited: number]> {
  const tasks = `/proc/${pid}/task`
  return new Map(
    readdirSync(tasks).map((task) => {
      const [ran = 0, waited = 0] = readFileSync(`${tasks}/${task}/schedstat`, "latin1")
        .split(" ")
        .map(Number)
      return [task, [ran, waited]]
    }),
  )
}

/** Of the time the busiest thread could have run in, how much it did: below a half the figures tell of the machine. */
function coreShare(before: ReturnType<typeof threadTimes>, after: ReturnType<typeof threadTimes>): number {
  let [most, share] = [0, 1]
  for (const [task, [ran, waited]] of after) {
    const [ranBefore = 0, waitedBefore = 0] = before.get(task) ?? []
    if (ran - ranBefore <= most) continue
    most = ran - ranBefore
    share = most / (most + waited - waitedBefore)
  }
  return share
}

function quantile(times: readonly number[], q: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

const ms = (times: readonly number[], q: number): string => `${quantile(times, q).toFixed(1).padStart(6)} ms`

if (import.meta.main) process.exit((await flood()) ? 0 : 1)
