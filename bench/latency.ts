import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { lengthOfRun } from "./compare.ts"
import { type Job, openContender } from "./contenders/contender.ts"
import { gatehouse } from "./contenders/gatehouse.ts"
import { wrk } from "./load.ts"
import { LOAD_CORE } from "./process.ts"
import { wrkScript } from "./request.ts"
import { JSON_REQUEST, PLAIN } from "./side_by_side.ts"
import type { SloReport } from "./slo.ts"
import { milliseconds } from "./slo_verdict.ts"
import { median, spread } from "./statistics.ts"
import { formatSpread } from "./table.ts"
import { atMost } from "./targets.ts"
import { createTokens, type Tokens } from "./tokens.ts"
import { openUpstream } from "./upstream.ts"

const CONNECTIONS = 64
const SHARE_OF_SATURATION = 0.5
/** Where the load by itself takes longer, its own queue would be measured. */
const STEADY_MS = 2
const SLOWER = 0.7
const LEAST_RATE = 500
const PERCENTILES = ["p50", "p90", "p99", "p99.9"] as const

/**
 * What the gateway adds to the time of a request at half of what it can take: the same open-loop load through it and
 * straight to the upstream, by turns, each request's time counted from when it was due.
 */
export async function latency(): Promise<boolean> {
  const tokens = createTokens("HS256")
  const plain = await measure("plain", PLAIN, undefined)
  return (await measure("the whole job (HS256)", { tokens, tls: undefined }, tokens)) && plain
}

async function measure(name: string, job: Job, tokens: Tokens | undefined): Promise<boolean> {
  const { rounds, seconds, warmUpSeconds } = lengthOfRun()
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  const upstream = await openUpstream(LOAD_CORE)
  const gateway = await openContender(gatehouse("Gatehouse"), job, upstream.port)
  try {
    const url = `http://127.0.0.1:${gateway.port}${JSON_REQUEST.path}`
    const script = wrkScript(JSON_REQUEST, tokens, directory)
    await wrk(url, CONNECTIONS, warmUpSeconds, script)
    const most = await wrk(url, CONNECTIONS, seconds, script)
    const half = Math.floor((most.requests / most.seconds) * SHARE_OF_SATURATION)
    if (half < 1) throw new Error(`no saturation: ${most.requests} requests in ${most.seconds} s`)
    const rate = await steadyRate(upstream.port, half, seconds)
    const through: SloReport[] = []
    const direct: SloReport[] = []
    for (let round = 0; round < rounds; round++) {
      direct.push(await ask(upstream.port, rate, seconds, undefined))
      through.push(await ask(gateway.port, rate, seconds, tokens?.valid[0]))
    }
    console.log(
      `\nlatency, ${name}: ${rate} requests a second, half of saturation being ${half}; ms from when each was due, medians of ${rounds} rounds`,
    )
    if (rate < half)
      console.log("note: the load and the upstream, which share a core, can do no more steadily")
    return report(through, direct)
  } finally {
    await gateway.process.stop()
    await upstream.process.stop()
    rmSync(directory, { recursive: true })
  }
}

/** Up to `most` requests a second: so many that the load and the upstream alone answer within `STEADY_MS` (p99). */
async function steadyRate(port: number, most: number, seconds: number): Promise<number> {
  for (let rate = most; ; rate = Math.floor(rate * SLOWER)) {
    const { latency } = await ask(port, rate, seconds, undefined)
    if ((latency.p99 ?? 0) <= STEADY_MS || rate < LEAST_RATE) return rate
  }
}

/** The load is a process of its own, on the load's core. */
async function ask(
  port: number,
  rate: number,
  seconds: number,
  token: string | undefined,
): Promise<SloReport> {
  const command = [process.execPath, join(import.meta.dir, "slo.ts"), "--json", "--warm-up", "1s"]
  command.push("--url", `http://127.0.0.1:${port}${JSON_REQUEST.path}`)
  command.push("--rate", `${rate}`, "--duration", `${seconds}s`, "--connections", `${CONNECTIONS}`)
  if (token !== undefined) command.push("--header", `Authorization: Bearer ${token}`)
  const child = Bun.spawn(["taskset", "-c", LOAD_CORE, ...command], { stdout: "pipe", stderr: "inherit" })
  const text = await new Response(child.stdout).text()
  if ((await child.exited) > 1) throw new Error(`bench/slo.ts ended with ${child.exitCode}`)
  return JSON.parse(text) as SloReport
}

function report(through: readonly SloReport[], direct: readonly SloReport[]): boolean {
  const times = (of: readonly SloReport[], percentile: string): number[] =>
    of.map((each) => each.latency[percentile] ?? Number.NaN)
  const added = (percentile: string): number[] => {
    const base = times(direct, percentile)
    return times(through, percentile).map((ms, round) => ms - base[round]!)
  }
  const row = (title: string, value: (percentile: string) => string): void =>
    console.log(`${title.padEnd(22)}${PERCENTILES.map((each) => value(each).padStart(22)).join("")}`)
  row("", (percentile) => percentile)
  row("through Gatehouse", (percentile) => milliseconds(median(times(through, percentile))))
  row("to the upstream", (percentile) => milliseconds(median(times(direct, percentile))))
  row("added", (percentile) => formatSpread(spread(added(percentile)), 3))
  const lateMs = median([...through, ...direct].map((each) => each.lateMs))
  console.log(`note: the load itself was late by ${milliseconds(lateMs)} ms (p99), which is in both`)
  const errors = through.reduce((sum, each) => sum + Object.values(each.errors).reduce((a, b) => a + b, 0), 0)
  const p99 = spread(added("p99"))
  const verdicts = [
    atMost("p99 added, ms", p99.median, formatSpread(p99, 2), { must: 50 }),
    atMost("p99 added, ms", p99.median, formatSpread(p99, 2), { must: 2, goal: 1 }),
    atMost("errors", errors, `${errors}`, { must: 0 }),
  ]
  for (const { text } of verdicts) console.log(text)
  return verdicts.every(({ held }) => held)
}

if (import.meta.main) process.exit((await latency()) ? 0 : 1)
