import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { checkAnswers } from "./check_answers.ts"
import { type Contender, has, type Job, type Opened, openContender } from "./contenders/contender.ts"
import { h2load } from "./h2load.ts"
import { type Load, wrk } from "./load.ts"
import { cpuUs, LOAD_CORE, rssMb } from "./process.ts"
import { type AskedFor, wrkScript } from "./request.ts"
import { openUpstream } from "./upstream.ts"

/** A warm-up ends after so many times the CPU it asks for, whatever it got. */
const MOST_PATIENCE = 5

/** How long a comparison takes. */
export interface Length {
  readonly rounds: number
  readonly seconds: number
  /** CPU a contender uses before it is measured: long enough for just-in-time compilers, the same for everybody. */
  readonly warmUpSeconds: number
}

export interface Comparison {
  readonly contenders: readonly Contender[]
  readonly job: Job
  readonly asked: AskedFor
  readonly connections: number
}

/** What one contender did in one round. */
export interface Sample {
  readonly requestsPerSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Contender's CPU a request, user and system, in µs. */
  readonly cpuUs: number
  readonly rssMb: number
  readonly errors: number
}

/** One contender's samples, one a round: those of the same round belong together. */
export interface Row {
  readonly name: string
  readonly kind: Contender["kind"]
  readonly version: string
  readonly samples: readonly Sample[]
}

/** `BENCH_ROUNDS` (5), `BENCH_SECONDS` (3) and `BENCH_WARM_UP_SECONDS` (4). */
export function lengthOfRun(): Length {
  const of = (name: string, usual: number) => Number(process.env[name] ?? usual)
  return {
    rounds: of("BENCH_ROUNDS", 5),
    seconds: of("BENCH_SECONDS", 3),
    warmUpSeconds: of("BENCH_WARM_UP_SECONDS", 4),
  }
}

/** Runs the contenders in turn, round by round, so that a slow moment of the machine hits all alike. */
export async function compare(comparison: Comparison, length: Length): Promise<Row[]> {
  const present = comparison.contenders.filter(({ name, needs }) => {
    if (has(needs)) return true
    console.log(`skipped: ${name} (no ${needs} on this machine)`)
    return false
  })
  const rows = present.map((contender) => ({ contender, samples: [] as Sample[] }))
  const upstream = await openUpstream(LOAD_CORE)
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  try {
    const script = wrkScript(comparison.asked, comparison.job.tokens, directory)
    for (let round = 0; round < length.rounds; round++)
      for (const { contender, samples } of rows) {
        const turn = { contender, comparison, length, script, upstreamPort: upstream.port }
        samples.push(await measure(turn, round === 0))
      }
  } finally {
    await upstream.process.stop()
    rmSync(directory, { recursive: true })
  }
  return rows.map(({ contender: { name, kind, version }, samples }) => ({
    name,
    kind,
    version: version(),
    samples,
  }))
}

interface Turn {
  readonly contender: Contender
  readonly comparison: Comparison
  readonly length: Length
  readonly script: string | undefined
  readonly upstreamPort: number
}

async function measure(turn: Turn, check: boolean): Promise<Sample> {
  const { contender, length } = turn
  const { job, asked } = turn.comparison
  const opened = await openContender(contender, job, turn.upstreamPort)
  const { process } = opened
  try {
    if (check) await checkAnswers(contender.name, opened, asked, job)
    await warmUp(turn, opened)
    const before = cpuUs(process.pids())
    const done = await load(turn, opened.port, length.seconds)
    const used = cpuUs(process.pids()) - before
    if (done.requests === 0) throw new Error(`${contender.name} answered nothing in ${length.seconds} s`)
    return {
      requestsPerSecond: done.requests / done.seconds,
      p50: done.p50,
      p99: done.p99,
      cpuUs: used / done.requests,
      rssMb: rssMb(process.pids()),
      errors: done.errors,
    }
  } finally {
    await process.stop()
  }
}

/** By its own CPU: where others have a part of its core, compilers come to theirs later. */
async function warmUp(turn: Turn, { port, process }: Opened): Promise<void> {
  const { warmUpSeconds } = turn.length
  const deadline = performance.now() + warmUpSeconds * 1000 * MOST_PATIENCE
  const before = cpuUs(process.pids())
  while (cpuUs(process.pids()) - before < warmUpSeconds * 1e6 && performance.now() < deadline)
    await load(turn, port, 1)
}

function load({ comparison, script }: Turn, port: number, seconds: number): Promise<Load> {
  const { asked, job, connections } = comparison
  const url = `${job.tls === undefined ? "http" : "https"}://127.0.0.1:${port}${asked.path}`
  return job.tls === "h2" ? h2load(url, connections, seconds) : wrk(url, connections, seconds, script)
}
