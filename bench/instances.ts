import { FailingInstance } from "./failing_instance.ts"
import { type BenchGateway, openGateway } from "./gateway.ts"
import { getRequest, OpenLoad, type Rate, type Sample } from "./open_load.ts"
import { CONTENDER_CORE, LOAD_CORE } from "./process.ts"

const INSTANCES = 3
const GETS_A_SECOND = 40
const POSTS_A_SECOND = 10
const BEFORE_MS = 3000
/** How long an instance is broken, and longer where it has not left by then. */
const BROKEN_MS = 15_000
/** Load goes on so long after the instance is in use again. */
const AFTER_MS = 2000
/** As in config where a service says nothing else. */
const DEFAULTS = { interval: 10_000, timeout: 2000, unhealthyAfter: 3, healthyAfter: 2, ejectedMs: 30_000 }
const CONSECUTIVE_FAILURES = 5
/** Beside what the settings say: timers of a busy machine. */
const SLACK_MS = 1000
/** Health checks come up to a tenth later than their interval says. */
const JITTER = 1.1
/** Verdict of the checks at the latest, from the moment it broke: each may have to wait for its timeout. */
const LEFT_MS = DEFAULTS.unhealthyAfter * (DEFAULTS.interval * JITTER + DEFAULTS.timeout) + SLACK_MS
/** By checks, or by the end of an ejection that no check has noticed. */
const BACK_MS = Math.max(DEFAULTS.healthyAfter * DEFAULTS.interval * JITTER, DEFAULTS.ejectedMs) + SLACK_MS
/** Slowest answer the load waits for: the default `timeout` of a service and some. */
const PATIENCE_MS = 35_000

interface Breakage {
  readonly name: string
  /** What config says beside instances and the path of the health check. */
  readonly settings: object
  /** Most GETs that may fail, and why. */
  readonly mayFail: number
  readonly because: string
  break(instance: FailingInstance): void
  /** Resolves when it works again. */
  mend(instance: FailingInstance): Promise<void>
}

const answering = (status: number) => ({
  break: (instance: FailingInstance) => instance.answer(status),
  mend: async (instance: FailingInstance) => instance.answer(200),
})
const frozen = {
  break: (instance: FailingInstance) => instance.signal("SIGSTOP"),
  mend: async (instance: FailingInstance) => instance.signal("SIGCONT"),
}

const BREAKAGES: readonly Breakage[] = [
  {
    name: "killed",
    settings: {},
    mayFail: 0,
    because: "none; resets and refused connections are tried again elsewhere",
    break: (instance) => instance.signal("SIGKILL"),
    mend: (instance) => instance.startAgain(LOAD_CORE),
  },
  {
    name: "answers 503",
    settings: {},
    mayFail: 0,
    because: "none; 503 is tried again elsewhere",
    ...answering(503),
  },
  {
    name: "answers 500",
    settings: {},
    // Those that were under way when the last one ejected it too.
    mayFail: 2 * CONSECUTIVE_FAILURES,
    because: `${CONSECUTIVE_FAILURES} until it is ejected, and what was under way: a 500 is the service's own answer`,
    ...answering(500),
  },
  {
    name: "frozen",
    settings: {},
    mayFail: GETS_A_SECOND / 4,
    because:
      "those that waited for it for the whole `timeout`, 30 s; what waits counts as busy, so others are asked",
    ...frozen,
  },
  {
    name: "frozen, tried again",
    settings: { retry: { per_try_timeout: "1s", on: ["connect", "reset", "timeout", "503"] } },
    mayFail: 0,
    because: "none with `per_try_timeout: 1s` and `timeout` in `retry.on`",
    ...frozen,
  },
]

/** Instances that are killed, freeze or answer with errors under load, with the settings a service has by default. */
export async function instances(): Promise<boolean> {
  const all = await Promise.all(
    BREAKAGES.map(async (breakage) => {
      const started = Array.from({ length: INSTANCES }, () => FailingInstance.start(LOAD_CORE))
      return { breakage, instances: await Promise.all(started) }
    }),
  )
  const gateway = await openGateway(
    {
      server: { workers: 2 },
      services: Object.fromEntries(
        all.map(({ breakage, instances }, i) => [
          `s${i}`,
          { instances: instances.map(({ url }) => url), health: { path: "/health" }, ...breakage.settings },
        ]),
      ),
      routes: all.map((_, i) => ({ path: `/${i}/*`, service: `s${i}` })),
    },
    CONTENDER_CORE,
  )
  try {
    console.log(
      `\n${BREAKAGES.length} services of ${INSTANCES} instances, ${GETS_A_SECOND} GETs and ${POSTS_A_SECOND} POSTs a second each; of each one instance breaks for ${BROKEN_MS / 1000} s. Default settings: checks every ${DEFAULTS.interval / 1000} s`,
    )
    const held = await Promise.all(
      all.map(({ breakage, instances }, i) => breakOne(gateway, i, breakage, instances[0]!)),
    )
    return held.every((each) => each)
  } finally {
    await gateway.stop()
    await Promise.all(all.flatMap(({ instances }) => instances.map((each) => each.end())))
  }
}

async function breakOne(
  gateway: BenchGateway,
  number: number,
  breakage: Breakage,
  victim: FailingInstance,
): Promise<boolean> {
  const samples: Sample[] = []
  const load = new OpenLoad({
    target: { hostname: "127.0.0.1", port: gateway.port },
    timeoutMs: PATIENCE_MS,
    onSample: (sample) => void samples.push(sample),
  })
  const running = load.run(Number.POSITIVE_INFINITY, ratesOf(number))
  const told = (event: string, from: number) =>
    gateway.log.find((line) => line.event === event && line.instance === victim.url && line.at >= from)
  await Bun.sleep(BEFORE_MS)
  const brokenAt = performance.now()
  breakage.break(victim)
  const by = await within(
    LEFT_MS + SLACK_MS,
    () => told("instance.ejected", brokenAt) ?? told("instance.unhealthy", brokenAt),
  )
  await Bun.sleep(Math.max(0, brokenAt + BROKEN_MS - performance.now()))
  await breakage.mend(victim)
  const [mendedAt, mendedWall] = [performance.now(), Date.now()]
  // What a frozen one had in its queue, it answers at once.
  const back = await victim.inUseAfter(mendedWall + 500, BACK_MS + SLACK_MS)
  await Bun.sleep(AFTER_MS)
  load.stop()
  await running
  await settled(load)
  load.close()
  const found: Found = {
    leftMs: by === undefined ? undefined : by.at - brokenAt,
    by: by === undefined ? "" : by.event === "instance.ejected" ? "by its failures" : "by health checks",
    backMs: back === undefined ? undefined : back - mendedWall,
    brokenAt,
    leftAt: by?.at ?? mendedAt,
  }
  return report(breakage, samples, found)
}

interface Found {
  readonly leftMs: number | undefined
  readonly by: string
  readonly backMs: number | undefined
  readonly brokenAt: number
  readonly leftAt: number
}

function report({ name, mayFail, because }: Breakage, samples: readonly Sample[], found: Found): boolean {
  const { leftMs, by, backMs, brokenAt, leftAt } = found
  const gets = samples.filter(({ kind }) => kind === "get")
  const posts = samples.filter(({ kind }) => kind === "post")
  const failed = gets.filter(isFailed)
  // Those under way when it broke may fail; before there was nothing to fail of.
  const early = failed.filter(({ at }) => at < brokenAt - SLACK_MS)
  const late = failed.filter(({ at }) => at > leftAt + SLACK_MS)
  const slowest = Math.max(...gets.filter((each) => !isFailed(each)).map(({ ms }) => ms))
  const held =
    failed.length <= mayFail &&
    early.length + late.length === 0 &&
    leftMs !== undefined &&
    leftMs <= LEFT_MS &&
    backMs !== undefined &&
    backMs <= BACK_MS
  const lines = [
    `${name}: left after ${seconds(leftMs)} ${by}, back ${seconds(backMs)} after it worked again`,
    `  GET:  ${gets.length} asked, ${failed.length} failed${kinds(failed)}, ${late.length} of them asked after it had left; slowest answer ${slowest.toFixed(0)} ms`,
    `  POST: ${posts.length} asked, ${posts.filter(isFailed).length} failed${kinds(posts.filter(isFailed))}`,
    `  ${held ? "PASS" : "FAIL"}: left within ${seconds(LEFT_MS)}, back within ${seconds(BACK_MS)}, at most ${mayFail} GETs failed (${because})`,
  ]
  console.log(lines.join("\n"))
  return held
}

function ratesOf(number: number): readonly Rate[] {
  const path = `/${number}/x`
  const post = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nhi`
  return [
    { kind: "get", ...getRequest(path), perSecond: GETS_A_SECOND },
    { kind: "post", method: "POST", bytes: Buffer.from(post, "latin1"), perSecond: POSTS_A_SECOND },
  ]
}

async function within<T>(ms: number, find: () => T | undefined): Promise<T | undefined> {
  const end = performance.now() + ms
  for (;;) {
    const found = find()
    if (found !== undefined || performance.now() > end) return found
    await Bun.sleep(5)
  }
}

/** Waits for the answers of what is under way. */
async function settled(load: OpenLoad): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (load.pending > 0 && performance.now() < end) await Bun.sleep(20)
}

const isFailed = ({ status }: Sample): boolean => status !== 200

function kinds(failed: readonly Sample[]): string {
  const counts = new Map<string, number>()
  for (const { status, fault } of failed) {
    const kind = status === 0 ? fault : String(status)
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return counts.size === 0 ? "" : ` (${[...counts].map(([kind, count]) => `${count} × ${kind}`).join(", ")})`
}

const seconds = (ms: number | undefined): string =>
  ms === undefined ? "never" : `${(ms / 1000).toFixed(1)} s`

if (import.meta.main) process.exit((await instances()) ? 0 : 1)
