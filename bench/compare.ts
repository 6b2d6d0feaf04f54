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
  const upstream = await openUpstream(LOAD_CORE)
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  const turns: Turn[] = []
  try {
    const script = wrkScript(comparison.asked, comparison.job.tokens, directory)
    for (const contender of present) {
      const opened = await openContender(contender, comparison.job, upstream.port)
      const turn = { contender, comparison, length, script, opened, samples: [] }
      turns.push(turn)
      await checkAnswers(contender.name, opened, comparison.asked, comparison.job)
      await warmUp(turn)
    }
    for (let round = 0; round < length.rounds; round++)
      for (const turn of turns) turn.samples.push(await measure(turn))
  } finally {
    for (const { opened } of turns) await opened.process.stop()
    await upstream.process.stop()
    rmSync(directory, { recursive: true })
  }
  return turns.map(({ contender: { name, kind, version }, samples }) => ({
    name,
    kind,
    version: version(),
    samples,
  }))
}

/** One contender, open from the first round to the last: all wait without load while one is measured. */
interface Turn {
  readonly contender: Contender
  readonly comparison: Comparison
  readonly length: Length
  readonly script: string | undefined
  readonly opened: Opened
  readonly samples: Sample[]
}

async function measure(turn: Turn): Promise<Sample> {
  const { process } = turn.opened
  const before = cpuUs(process.pids())
  const done = await load(turn, turn.length.seconds)
  const used = cpuUs(process.pids()) - before
  if (done.requests === 0)
    throw new Error(`${turn.contender.name} answered nothing in ${turn.length.seconds} s`)
  return {
    requestsPerSecond: done.requests / done.seconds,
    p50: done.p50,
    p99: done.p99,
    cpuUs: used / done.requests,
    rssMb: rssMb(process.pids()),
    errors: done.errors,
  }
}

/** By its own CPU: where others have a part of its core, compilers come to theirs later. */
async function warmUp(turn: Turn): Promise<void> {
  const { process } = turn.opened
  const { warmUpSeconds } = turn.length
  const deadline = performance.now() + warmUpSeconds * 1000 * MOST_PATIENCE
  const before = cpuUs(process.pids())
  while (cpuUs(process.pids()) - before < warmUpSeconds * 1e6 && performance.now() < deadline)
    await load(turn, 1)
}

function load({ comparison, script, opened }: Turn, seconds: number): Promise<Load> {
  const { asked, job, connections } = comparison
  const url = `${job.tls === undefined ? "http" : "https"}://127.0.0.1:${opened.port}${asked.path}`
  return job.tls === "h2" ? h2load(url, connections, seconds) : wrk(url, connections, seconds, script)
}
