/**
 * For operators, against a deployment of their own: `bun bench/slo.ts --url https://… --rate 500 --duration 30s`.
 * Exit code 0: held; 1: past an objective or too many errors; 2: called wrongly; 130: broken off by Ctrl-C.
 */
import { getRequest, OpenLoad } from "./open_load.ts"
import { parseSloArguments, SLO_USAGE, type SloOptions } from "./slo_arguments.ts"
import { judge, milliseconds, PERCENTILES, percentileName, SloTally } from "./slo_verdict.ts"

/** Above this the figures are those of the load, not of the deployment. */
const TOO_LATE_MS = 1

/** Runs as the arguments say, prints the report, and resolves with the exit code. */
async function slo(args: readonly string[]): Promise<number> {
  const parsed = parseSloArguments(args)
  if (parsed.kind === "help") {
    console.log(SLO_USAGE)
    return 0
  }
  if (parsed.kind === "wrong") {
    console.error(`${parsed.message}\n\n${SLO_USAGE}`)
    return 2
  }
  const { options } = parsed
  const tally = new SloTally()
  const load = new OpenLoad({ ...options, onSample: (sample) => tally.add(sample) })
  let broken = false
  process.on("SIGINT", () => {
    if (broken) process.exit(130)
    broken = true
    load.stop()
  })
  const rates = [
    { kind: "", ...getRequest(options.path, options.host, options.fields), perSecond: options.perSecond },
  ]
  if (options.warmUpMs > 0) await load.run(options.warmUpMs, rates)
  tally.startedAt = performance.now()
  if (!broken) await load.run(options.durationMs, rates)
  await load.settle()
  load.close()
  const verdicts = judge(tally, options.objectives, options.maxErrors)
  const held = verdicts.every((each) => each.held)
  if (options.json) console.log(JSON.stringify(toJson(tally, load.opened, held, broken)))
  else {
    print(options, tally, load.opened)
    if (broken) console.log("broken off")
    for (const each of verdicts) console.log(`${each.held ? "PASS" : "FAIL"}: ${each.text}`)
  }
  return broken ? 130 : held ? 0 : 1
}

function print(
  { host, path, perSecond, durationMs, connections }: SloOptions,
  tally: SloTally,
  opened: number,
): void {
  console.log(
    `GET ${path} of ${host}, ${perSecond} a second for ${durationMs / 1000} s, on at most ${connections} connections`,
  )
  console.log(`answered  ${tally.good}, ${tally.perSecond.toFixed(1)} a second; ${opened} connections opened`)
  const times = PERCENTILES.map((each) => `${percentileName(each)} ${milliseconds(tally.percentile(each))}`)
  console.log(`latency   ${times.join("  ")} ms, from when each request was due`)
  for (const [kind, count] of [...tally.errors].sort((a, b) => b[1] - a[1]))
    console.log(`error     ${count} × ${kind}`)
  if (tally.lateMs > TOO_LATE_MS)
    console.log(
      `warning   the load itself was late by ${milliseconds(tally.lateMs)} ms (p99): it needs a quieter machine or a lower rate`,
    )
}

/** What `--json` prints. */
export interface SloReport {
  readonly good: number
  readonly perSecond: number
  /** Milliseconds by name: p50, p90, p99, p99.9, max; null without a good answer. */
  readonly latency: Readonly<Record<string, number | null>>
  readonly errors: Readonly<Record<string, number>>
  readonly connections: number
  /** How late the load itself was, p99. */
  readonly lateMs: number
  readonly held: boolean
  readonly broken: boolean
}

function toJson(tally: SloTally, connections: number, held: boolean, broken: boolean): SloReport {
  return {
    good: tally.good,
    perSecond: tally.perSecond,
    latency: Object.fromEntries(PERCENTILES.map((each) => [percentileName(each), tally.percentile(each)])),
    errors: Object.fromEntries(tally.errors),
    connections,
    lateMs: tally.lateMs,
    held,
    broken,
  }
}

if (import.meta.main) process.exit(await slo(process.argv.slice(2)))
