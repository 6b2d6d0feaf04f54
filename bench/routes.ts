import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { lengthOfRun } from "./compare.ts"
import { type BenchGateway, openGateway } from "./gateway.ts"
import { writeTurns, wrk } from "./load.ts"
import { CONTENDER_CORE, cpuUs, LOAD_CORE, rssMb } from "./process.ts"
import { median, ratios, spread } from "./statistics.ts"
import { formatSpread } from "./table.ts"
import { atMost } from "./targets.ts"
import { openUpstream } from "./upstream.ts"

const SIZES = [10, 1000, 10_000] as const
const PATHS = 1000
const CONNECTIONS = 64
const RELOADS = 3

interface Site {
  readonly size: number
  readonly gateway: BenchGateway
  readonly script: string
  readonly loadMs: number
  readonly reloadMs: number
  /** CPU of the start, and of one reload. */
  readonly loadCpuMs: number
  readonly reloadCpuMs: number
  readonly cpu: number[]
  errors: number
}

/** What many routes cost: CPU a request of 10, 1,000 and 10,000, in turns, and what loading them takes. */
export async function routes(): Promise<boolean> {
  const { rounds, seconds, warmUpSeconds } = lengthOfRun()
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  const upstream = await openUpstream(LOAD_CORE)
  const sites: Site[] = []
  try {
    for (const size of SIZES) sites.push(await open(size, upstream.port, directory))
    // The first round is the warm-up of just-in-time compilers.
    for (let round = 0; round <= rounds; round++)
      for (const site of sites) await measure(site, round > 0 ? seconds : warmUpSeconds, round > 0)
    return report(sites)
  } finally {
    for (const { gateway } of sites) await gateway.stop()
    await upstream.process.stop()
    rmSync(directory, { recursive: true })
  }
}

async function open(size: number, upstreamPort: number, directory: string): Promise<Site> {
  const config = (timeoutS: number) => ({
    server: { workers: 1 },
    log: { level: "info" },
    services: { up: { instances: [`http://127.0.0.1:${upstreamPort}`], pool: { max_connections: 1024 } } },
    routes: Array.from({ length: size }, (_, i) => ({
      path: template(i),
      service: "up",
      rewrite: "/json",
      // The last one changes with every reload.
      ...(i === size - 1 && { timeout: timeoutS }),
    })),
  })
  const startedAt = performance.now()
  const gateway = await openGateway(config(10), CONTENDER_CORE)
  const loadMs = performance.now() - startedAt
  const loadCpuMs = cpuUs([gateway.pid]) / 1000
  const reloads: number[] = []
  for (let i = 0; i < RELOADS; i++) {
    gateway.writeConfig(config(11 + i))
    const at = performance.now()
    await gateway.reload()
    reloads.push(performance.now() - at)
  }
  const reloadCpuMs = (cpuUs([gateway.pid]) / 1000 - loadCpuMs) / RELOADS
  const script = writeScript(size, join(directory, `${size}.lua`))
  return {
    size,
    gateway,
    script,
    loadMs,
    loadCpuMs,
    reloadMs: median(reloads),
    reloadCpuMs,
    cpu: [],
    errors: 0,
  }
}

/** Four of ten are literal, three have parameters, three end in a wildcard. */
function template(i: number): string {
  const kind = i % 10
  if (kind < 4) return `/api/v1/resource${i}/list`
  return kind < 7 ? `/tenants/:tenant/resource${i}/:id` : `/files/area${i}/*`
}

/** 1,000 paths, spread over all routes, of the three kinds in the same shares whatever their number. */
function writeScript(size: number, file: string): string {
  const paths = Array.from({ length: PATHS }, (_, k) => {
    const groups = size / 10
    const i = (k % 10) + 10 * Math.floor((Math.floor(k / 10) * groups) / (PATHS / 10))
    return `${template(i).replace(":tenant", `tenant${k}`).replace(":id", `${k}`).replace("*", `a/${k}.png`)}?k=${k}`
  })
  writeTurns(
    file,
    `for i, path in ipairs({ ${paths.map((path) => `"${path}"`).join(",\n")} }) do
    requests[i] = wrk.format("GET", path)
  end`,
  )
  return file
}

async function measure(site: Site, seconds: number, counts: boolean): Promise<void> {
  const { pid, port } = site.gateway
  const before = cpuUs([pid])
  const load = await wrk(`http://127.0.0.1:${port}`, CONNECTIONS, seconds, site.script)
  if (counts) site.cpu.push((cpuUs([pid]) - before) / load.requests)
  site.errors += load.errors
}

function report(sites: readonly Site[]): boolean {
  const base = sites[0]!
  console.log(`\nroutes, one core, requests to ${PATHS} paths in turn; spreads are min–median–max`)
  console.log(
    `${"routes".padEnd(8)}${"CPU µs a request".padStart(22)}${"× 10 routes".padStart(18)}${"start, CPU ms".padStart(16)}${"reload, CPU ms".padStart(16)}${"RSS MB".padStart(8)}${"errors".padStart(8)}`,
  )
  for (const { size, cpu, gateway, errors, ...site } of sites) {
    const start = `${site.loadMs.toFixed(0)}, ${site.loadCpuMs.toFixed(0)}`
    const reload = `${site.reloadMs.toFixed(0)}, ${site.reloadCpuMs.toFixed(0)}`
    const times = formatSpread(spread(ratios(cpu, base.cpu)), 2)
    console.log(
      `${String(size).padEnd(8)}${formatSpread(spread(cpu), 1).padStart(22)}${times.padStart(18)}${start.padStart(16)}${reload.padStart(16)}${rssMb([gateway.pid]).toFixed(0).padStart(8)}${String(errors).padStart(8)}`,
    )
  }
  const most = spread(ratios(sites.at(-1)!.cpu, base.cpu))
  const errors = sites.reduce((sum, site) => sum + site.errors, 0)
  const verdicts = [
    atMost("CPU of 10000 routes × that of 10", most.median, formatSpread(most, 2), { must: 1.1 }),
    atMost("errors", errors, `${errors}`, { must: 0 }),
  ]
  for (const { text } of verdicts) console.log(text)
  return verdicts.every(({ held }) => held)
}

if (import.meta.main) process.exit((await routes()) ? 0 : 1)
