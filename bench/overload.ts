import { join } from "node:path"
import { openGateway } from "./gateway.ts"
import { getRequest, OpenLoad, type Rate, type Sample } from "./open_load.ts"
import { CONTENDER_CORE, LOAD_CORE } from "./process.ts"

const SLOTS = 32
const WORK_MS = 40
const CAPACITY_MS = 2000
const BEFORE_MS = 3000
const OVERLOAD_MS = 8000
const AFTER_MS = 6000
/** Span over which recovery is judged. */
const STEP_MS = 500
const TARGET_P99_MS = 250
const TARGET_GOODPUT = 0.9
const TARGET_RECOVERY_S = 5

/**
 * A service of known capacity, asked for three times as much, a tenth of it critical and the rest low: all critical
 * requests must be answered in time, the service must work at its capacity, and all must be well soon after.
 */
export async function overload(): Promise<boolean> {
  const service = Bun.spawn(
    [
      "taskset",
      "-c",
      LOAD_CORE,
      process.execPath,
      join(import.meta.dir, "overload_service.ts"),
      `${SLOTS}`,
      `${WORK_MS}`,
    ],
    { stdout: "pipe", stderr: "inherit" },
  )
  try {
    const port = Number(new TextDecoder().decode((await service.stdout.getReader().read()).value))
    const capacity = await measureCapacity(port)
    console.log(
      `\na service of ${SLOTS} × ${WORK_MS} ms, ${capacity.toFixed(0)} requests a second at most, asked for three times as many`,
    )
    return await overloadOf(port, capacity)
  } finally {
    service.kill()
    await service.exited
  }
}

function openLoad(port: number): { load: OpenLoad; samples: Sample[] } {
  const samples: Sample[] = []
  const load = new OpenLoad({
    target: { hostname: "127.0.0.1", port },
    onSample: (sample) => void samples.push(sample),
  })
  return { load, samples }
}

/** What the service itself answers a second when there is always more to do. */
async function measureCapacity(port: number): Promise<number> {
  const { load, samples } = openLoad(port)
  const perSecond = (SLOTS / WORK_MS) * 1000 * 1.2
  await load.run(CAPACITY_MS, [{ kind: "all", ...getRequest("/"), perSecond }])
  const end = performance.now()
  const from = end - CAPACITY_MS / 2
  const served = samples.filter(({ at, ms }) => at + ms >= from && at + ms <= end).length
  await load.settle()
  load.close()
  return (served / (end - from)) * 1000
}

async function overloadOf(servicePort: number, capacity: number): Promise<boolean> {
  const gateway = await openGateway(
    {
      server: { workers: 2 },
      services: { care: { instances: [`http://127.0.0.1:${servicePort}`], concurrency: {} } },
      routes: [
        { path: "/critical", service: "care", priority: "critical" },
        { path: "/low", service: "care", priority: "low" },
      ],
    },
    CONTENDER_CORE,
  )
  const { load, samples } = openLoad(gateway.port)
  const rates = (times: number): Rate[] => [
    { kind: "critical", ...getRequest("/critical"), perSecond: capacity * times * 0.1 },
    { kind: "low", ...getRequest("/low"), perSecond: capacity * times * 0.9 },
  ]
  try {
    await load.run(BEFORE_MS, rates(0.5))
    const startedAt = performance.now()
    await load.run(OVERLOAD_MS, rates(3))
    const endedAt = performance.now()
    await load.run(AFTER_MS, rates(0.5))
    await load.settle()
    const during = samples.filter(({ at }) => at >= startedAt && at < endedAt)
    return report(during, samples, capacity, startedAt, endedAt)
  } finally {
    load.close()
    await gateway.stop()
  }
}

function report(
  during: readonly Sample[],
  all: readonly Sample[],
  capacity: number,
  startedAt: number,
  endedAt: number,
): boolean {
  for (const kind of ["critical", "low"]) {
    const mine = during.filter((sample) => sample.kind === kind)
    const answered = mine.filter(({ status }) => status === 200)
    const refused = mine.filter(({ status }) => status === 503)
    console.log(
      `${kind.padEnd(9)} ${mine.length} asked, ${answered.length} answered (p50 ${percentile(answered, 0.5)}, p99 ${percentile(answered, 0.99)} ms), ${refused.length} refused (p99 ${percentile(refused, 0.99)} ms), ${mine.length - answered.length - refused.length} otherwise`,
    )
  }
  const critical = during.filter(({ kind }) => kind === "critical")
  const failed = critical.filter(({ status }) => status !== 200).length
  const p99 = Number(percentile(critical, 0.99))
  const served = all.filter(
    ({ status, at, ms }) => status === 200 && at + ms >= startedAt && at + ms < endedAt,
  ).length
  const goodput = served / ((endedAt - startedAt) / 1000) / capacity
  const recoveredS = recovery(all, endedAt)
  const verdicts: [boolean, string][] = [
    [failed === 0, `${failed} of ${critical.length} critical requests failed (target 0)`],
    [p99 < TARGET_P99_MS, `critical p99 ${p99} ms (target < ${TARGET_P99_MS})`],
    [
      goodput >= TARGET_GOODPUT,
      `goodput ${(goodput * 100).toFixed(1)} % of the capacity (target ≥ ${TARGET_GOODPUT * 100})`,
    ],
    [
      recoveredS <= TARGET_RECOVERY_S,
      `all well ${recoveredS.toFixed(1)} s after (target ≤ ${TARGET_RECOVERY_S})`,
    ],
  ]
  for (const [held, text] of verdicts) console.log(`${held ? "PASS" : "FAIL"}: ${text}`)
  return verdicts.every(([held]) => held)
}

/** Seconds until nothing fails any more; the whole rest when it does to the end. */
function recovery(all: readonly Sample[], endedAt: number): number {
  let recoveredMs = 0
  for (const { status, at } of all) {
    if (at < endedAt || status === 200) continue
    recoveredMs = Math.max(recoveredMs, (Math.floor((at - endedAt) / STEP_MS) + 1) * STEP_MS)
  }
  return recoveredMs / 1000
}

function percentile(samples: readonly Sample[], share: number): string {
  if (samples.length === 0) return "-"
  const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b)
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)]!.toFixed(1)
}

if (import.meta.main) process.exit((await overload()) ? 0 : 1)
