import { lengthOfRun } from "./compare.ts"
import { type BenchGateway, openGateway } from "./gateway.ts"
import { wrk } from "./load.ts"
import { CONTENDER_CORE, cpuUs, LOAD_CORE } from "./process.ts"
import { ratios, spread } from "./statistics.ts"
import { formatSpread } from "./table.ts"
import { atLeast } from "./targets.ts"
import { openUpstream } from "./upstream.ts"

const CONNECTIONS = 64
/** How many times as fast as a forwarded request a refused one must be. */
const TARGET = 1.5

/** CPU of one worker for requests that `rate_limit` refuses, in turns with requests it lets through to a service. */
export async function refusals(): Promise<boolean> {
  const { rounds, seconds, warmUpSeconds } = lengthOfRun()
  const upstream = await openUpstream(LOAD_CORE)
  const route = (path: string, rate: string) => ({
    path,
    service: "up",
    rewrite: "/json",
    rate_limit: { name: path.slice(1), by: "ip", rate },
  })
  const gateway = await openGateway(
    {
      server: { workers: 1 },
      log: { level: "info" },
      services: { up: { instances: [`http://127.0.0.1:${upstream.port}`], pool: { max_connections: 1024 } } },
      routes: [route("/forwarded", "100000/s"), route("/refused", "1/d")],
    },
    CONTENDER_CORE,
  )
  try {
    const forwarded: number[] = []
    const refused: number[] = []
    // The first round is the warm-up of just-in-time compilers.
    for (let round = 0; round <= rounds; round++)
      for (const [path, found] of [
        ["/forwarded", forwarded],
        ["/refused", refused],
      ] as const) {
        const us = await measure(gateway, path, round === 0 ? warmUpSeconds : seconds)
        if (round > 0) found.push(us)
      }
    console.log(`\nrate_limit, CPU µs a request of one worker, ${CONNECTIONS} connections, min–median–max`)
    console.log(`${"forwarded".padEnd(34)}${formatSpread(spread(forwarded), 1).padStart(20)}`)
    console.log(`${"refused".padEnd(34)}${formatSpread(spread(refused), 1).padStart(20)}`)
    const { held, text } = atLeast("forwarded × refused", ratios(forwarded, refused), { must: TARGET })
    console.log(text)
    return held
  } finally {
    await gateway.stop()
    await upstream.process.stop()
  }
}

/** Throws where the answers are not what is to be measured. */
async function measure({ pid, port }: BenchGateway, path: string, seconds: number): Promise<number> {
  const before = cpuUs([pid])
  const { requests, errors } = await wrk(`http://127.0.0.1:${port}${path}`, CONNECTIONS, seconds)
  const used = cpuUs([pid]) - before
  // wrk counts every 429 as an error; one may pass a day.
  const expected = path === "/refused" ? requests - 1 : 0
  if (Math.abs(errors - expected) > 1)
    throw new Error(`${path}: ${errors} of ${requests} answers were refusals, not ${expected}`)
  return used / requests
}

if (import.meta.main) process.exit((await refusals()) ? 0 : 1)
