import { endNginx, startNginx } from "../test/support/nginx.ts"
import { rssMb } from "../test/support/proc.ts"
import { startRawLoad } from "../test/support/raw_load.ts"
import { openGateway } from "./gateway.ts"
import { CONTENDER_CORE, LOAD_CORE } from "./process.ts"

const RELOADS = Number(process.env.BENCH_RELOADS ?? 1000)
const ROUTES = 200
/** Largest growth from the first third of the reloads to the last one, in MB of median memory. */
const TARGET_GROWTH_MB = 32

/** Many reloads of many routes under load: no request may fail, and memory must level off. */
export async function reloads(): Promise<boolean> {
  const nginx = await startNginx("one", ["taskset", "-c", LOAD_CORE])
  const config = (round: number) => ({
    log: { level: "warn" },
    services: {
      app: { instances: [nginx.url] },
      // An instance that goes and one that comes with each reload.
      moving: { instances: [`http://127.0.0.1:${20_000 + round}`] },
    },
    routes: [
      ...Array.from({ length: ROUTES }, (_, i) => ({ path: `/r${i}/:id/*`, service: "moving" })),
      { path: "/version", respond: { body: String(round) } },
      { path: "/*", service: "app" },
    ],
  })
  // The log level hides `gateway.started` from the reader, so it starts with another one.
  const gateway = await openGateway({ ...config(0), log: { level: "info" } }, CONTENDER_CORE)
  try {
    const load = startRawLoad(gateway.port, 16)
    const samples: number[] = []
    console.log(`\n${RELOADS} reloads of ${ROUTES} routes under load`)
    console.log(
      `${"reloads".padStart(8)}${"RSS MB".padStart(9)}${"requests".padStart(11)}${"failed".padStart(9)}`,
    )
    const started = performance.now()
    for (let round = 0; round <= RELOADS; round++) {
      if (round > 0) {
        gateway.writeConfig(config(round))
        await gateway.reload()
      }
      samples.push(rssMb(gateway.pid))
      if (round % (RELOADS / 10) === 0) printRow(round, samples.at(-1)!, load.total(), load.failures.length)
    }
    const reloadMs = (performance.now() - started) / RELOADS
    await load.stop()
    const version = await (await fetch(`http://127.0.0.1:${gateway.port}/version`)).text()
    const odd = [...load.answers.keys()].filter((answer) => answer !== "200 one")
    const third = Math.floor(samples.length / 3)
    // The first tenth is the growth of any program that has just started.
    const before = median(samples.slice(Math.floor(RELOADS / 10), third))
    const after = median(samples.slice(-third))
    console.log(
      `${reloadMs.toFixed(1)} ms a reload; median RSS ${before.toFixed(0)} MB in the first third, ${after.toFixed(0)} MB in the last`,
    )
    for (const failure of [...load.failures.slice(0, 5), ...odd]) console.log(`failed: ${failure}`)
    const ok =
      load.failures.length === 0 &&
      odd.length === 0 &&
      version === String(RELOADS) &&
      after - before < TARGET_GROWTH_MB
    console.log(
      `${ok ? "PASS" : "FAIL"}: no failed request, the last config in force, memory grows by less than ${TARGET_GROWTH_MB} MB`,
    )
    return ok
  } finally {
    await gateway.stop()
    await endNginx()
  }
}

function printRow(...cells: readonly number[]): void {
  const [round, rss, total, failed] = cells.map((cell) => cell.toFixed(0))
  console.log(`${round!.padStart(8)}${rss!.padStart(9)}${total!.padStart(11)}${failed!.padStart(9)}`)
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
}

if (import.meta.main) process.exit((await reloads()) ? 0 : 1)
