import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Contender, has, type Job, openContender } from "./contenders/contender.ts"
import { gatehouse } from "./contenders/gatehouse.ts"
import { JitDump } from "./jit_dump.ts"
import { wrk } from "./load.ts"
import { cpuUs, LOAD_CORE, type Running } from "./process.ts"
import { wrkScript } from "./request.ts"
import { JSON_REQUEST, PLAIN } from "./side_by_side.ts"
import { createTokens } from "./tokens.ts"
import { openUpstream } from "./upstream.ts"

const CONNECTIONS = 64
const WARM_UP_SECONDS = 12
const SECONDS = 8
const SAMPLES_PER_SECOND = 1999
const SHOWN = 16
/** Addresses from here on are the kernel's. */
const KERNEL = 2 ** 63

/**
 * Where the CPU time of a request goes, by samples: the kernel, the runtime, and each function of ours, plain and with
 * the whole job. The gateway runs from its source, so that functions have their names. Needs `perf` (Debian:
 * linux-perf); without it, it is skipped.
 */
export async function profile(): Promise<boolean> {
  if (!has("perf")) {
    console.log("skipped: profile (no perf on this machine)")
    return true
  }
  await show("plain", PLAIN)
  await show("the whole job (HS256)", { ...PLAIN, tokens: createTokens("HS256") })
  return true
}

async function show(name: string, job: Job): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  const upstream = await openUpstream(LOAD_CORE)
  let gateway: Running | undefined
  try {
    const opened = await openContender(fromSource(directory), job, upstream.port)
    gateway = opened.process
    const url = `http://127.0.0.1:${opened.port}${JSON_REQUEST.path}`
    const script = wrkScript(JSON_REQUEST, job.tokens, directory)
    await wrk(url, CONNECTIONS, WARM_UP_SECONDS, script)
    const before = cpuUs(gateway.pids())
    const recorded = record(gateway.pids(), directory)
    const { requests } = await wrk(url, CONNECTIONS, SECONDS, script)
    const eachUs = (cpuUs(gateway.pids()) - before) / requests
    await recorded
    print(`${name}, ${CONNECTIONS} connections`, eachUs, samplesOf(directory))
  } finally {
    await gateway?.stop()
    await upstream.process.stop()
    rmSync(directory, { recursive: true })
  }
}

/** As users run it, but not compiled. */
function fromSource(directory: string): Contender {
  const compiled = gatehouse("Gatehouse")
  const dumps = join(directory, "jit")
  mkdirSync(dumps)
  return {
    ...compiled,
    configure(job, site) {
      const [, ...rest] = compiled.configure(job, site).command
      const main = join(import.meta.dir, "../src/main.ts")
      const env = { BUN_JSC_useJITDump: "1", BUN_JSC_jitDumpDirectory: dumps }
      return { command: [process.execPath, main, ...rest], env }
    },
  }
}

async function record(pids: readonly number[], directory: string): Promise<void> {
  const command = ["perf", "record", "-k", "mono", "-F", `${SAMPLES_PER_SECOND}`, "-p", pids.join(",")]
  command.push("-o", join(directory, "perf.data"), "--", "sleep", `${SECONDS - 2}`)
  const child = Bun.spawn(["taskset", "-c", LOAD_CORE, ...command], { stdout: "ignore", stderr: "pipe" })
  if ((await child.exited) !== 0) throw new Error(`perf record: ${await new Response(child.stderr).text()}`)
}

interface Samples {
  kernel: number
  runtime: number
  readonly ours: Map<string, number>
}

function samplesOf(directory: string): Samples {
  const { stdout } = Bun.spawnSync(["perf", "script", "-i", join(directory, "perf.data"), "-F", "ip"])
  const dump = new JitDump(join(directory, "jit"))
  const samples: Samples = { kernel: 0, runtime: 0, ours: new Map() }
  for (const line of stdout.toString().split("\n")) {
    const address = Number.parseInt(line.trim(), 16)
    if (Number.isNaN(address)) continue
    if (address >= KERNEL) samples.kernel++
    else {
      const name = dump.nameAt(address)
      if (name === undefined) samples.runtime++
      else samples.ours.set(plainName(name), (samples.ours.get(plainName(name)) ?? 0) + 1)
    }
  }
  return samples
}

/** "JSC-FTL: scanSection#CAzvby" is scanSection, whichever compiler it went through. */
const plainName = (name: string): string => name.replace(/^JSC-\w+: /, "").replace(/#\w+$/, "")

function print(title: string, eachUs: number, { kernel, runtime, ours }: Samples): void {
  const byCost = [...ours].sort(([, a], [, b]) => b - a)
  const own = byCost.reduce((sum, [, samples]) => sum + samples, 0)
  const all = kernel + runtime + own
  const row = (name: string, samples: number): void => {
    const share = samples / all
    console.log(
      `${name.padEnd(34)}${(share * 100).toFixed(1).padStart(6)} %${(share * eachUs).toFixed(2).padStart(8)} µs`,
    )
  }
  console.log(`\nwhere the ${eachUs.toFixed(1)} µs of CPU of a request go, ${title}; ${all} samples`)
  row("kernel", kernel)
  row("runtime", runtime)
  row("ours", own)
  for (const [name, samples] of byCost.slice(0, SHOWN)) row(`  ${name}`, samples)
}

if (import.meta.main) process.exit((await profile()) ? 0 : 1)
