import { type Contender, has, openUpstream } from "./contenders.ts"
import { wrk } from "./load.ts"
import { cpuUs, LOAD_CORE, rssMb } from "./process.ts"

/** Long enough for just-in-time compilers; the same for everybody. */
const WARM_UP_S = 3

export interface Comparison {
  /** Path asked for, and what its body must be. */
  readonly path: string
  readonly expectBody: (body: string) => boolean
  readonly connections: number
  readonly rounds: number
  readonly seconds: number
}

export interface Row {
  readonly name: string
  readonly requestsPerSecond: number
  readonly p50: number
  readonly p99: number
  /** Contender's CPU a request, user and system: min, median and max of the rounds. */
  readonly cpuUs: readonly [min: number, median: number, max: number]
  readonly rssMb: number
  readonly errors: number
}

/** Runs the contenders in turn, round by round, so that a slow moment of the machine hits all alike. */
export async function compare(contenders: readonly Contender[], options: Comparison): Promise<Row[]> {
  const present = contenders.filter(({ name, needs }) => {
    if (has(needs)) return true
    console.log(`skipped: ${name} (no ${needs} on this machine)`)
    return false
  })
  const upstream = await openUpstream(LOAD_CORE)
  const samples = new Map<
    string,
    { cpu: number[]; rps: number[]; p50: number[]; p99: number[]; rss: number; errors: number }
  >()
  try {
    for (let round = 0; round < options.rounds; round++) {
      for (const contender of present) {
        const { port, process } = await contender.open(upstream.port)
        try {
          const url = `http://127.0.0.1:${port}${options.path}`
          if (round === 0) await checkAnswer(contender.name, url, options.expectBody)
          await wrk(url, options.connections, WARM_UP_S)
          const before = cpuUs(process.pids())
          const load = await wrk(url, options.connections, options.seconds)
          const used = cpuUs(process.pids()) - before
          const kept = samples.get(contender.name) ?? {
            cpu: [],
            rps: [],
            p50: [],
            p99: [],
            rss: 0,
            errors: 0,
          }
          kept.cpu.push(used / load.requests)
          kept.rps.push(load.requests / load.seconds)
          kept.p50.push(load.p50)
          kept.p99.push(load.p99)
          kept.rss = Math.max(kept.rss, rssMb(process.pids()))
          kept.errors += load.errors
          samples.set(contender.name, kept)
        } finally {
          await process.stop()
        }
      }
    }
  } finally {
    await upstream.process.stop()
  }
  return [...samples].map(([name, kept]) => ({
    name,
    requestsPerSecond: median(kept.rps),
    p50: median(kept.p50),
    p99: median(kept.p99),
    cpuUs: [Math.min(...kept.cpu), median(kept.cpu), Math.max(...kept.cpu)],
    rssMb: kept.rss,
    errors: kept.errors,
  }))
}

async function checkAnswer(name: string, url: string, expected: (body: string) => boolean): Promise<void> {
  const response = await fetch(url)
  const body = await response.text()
  if (response.status !== 200 || !expected(body))
    throw new Error(`${name} answers wrongly: ${response.status} ${body.slice(0, 200)}`)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}

/** One table; `base` is the contender whose median CPU is 1.00. */
export function printTable(title: string, rows: readonly Row[], base: string): void {
  const baseCpu = rows.find((row) => row.name === base)?.cpuUs[1]
  console.log(`\n${title}`)
  console.log(
    `${"contender".padEnd(18)}${"req/s".padStart(9)}${"p50 ms".padStart(9)}${"p99 ms".padStart(9)}${"CPU µs/req min–median–max".padStart(28)}${`× ${base}`.padStart(10)}${"RSS MB".padStart(9)}${"errors".padStart(8)}`,
  )
  for (const row of rows) {
    const cpu = row.cpuUs.map((us) => us.toFixed(1)).join("–")
    const ratio = baseCpu === undefined ? "" : (row.cpuUs[1] / baseCpu).toFixed(2)
    console.log(
      `${row.name.padEnd(18)}${row.requestsPerSecond.toFixed(0).padStart(9)}${row.p50.toFixed(2).padStart(9)}${row.p99.toFixed(2).padStart(9)}${cpu.padStart(28)}${ratio.padStart(10)}${row.rssMb.toFixed(0).padStart(9)}${String(row.errors).padStart(8)}`,
    )
  }
}
