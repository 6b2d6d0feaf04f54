import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ORDER } from "../src/policies/order.ts"
import { lengthOfRun } from "./compare.ts"
import { type BenchGateway, openGateway } from "./gateway.ts"
import { wrk } from "./load.ts"
import { CONTENDER_CORE, cpuUs, LOAD_CORE } from "./process.ts"
import { median, spread } from "./statistics.ts"
import { formatSpread } from "./table.ts"
import { AUDIENCE, createTokens, ISSUER } from "./tokens.ts"
import { openUpstream } from "./upstream.ts"

const CONNECTIONS = 64

/** A route to measure; its cost is what it takes more than `base`. */
interface Row {
  /** Added to the policy's name. */
  readonly detail: string
  readonly options: unknown
  /** Other policies it cannot be without; they are in its base too. */
  readonly beside?: Readonly<Record<string, unknown>>
  /** Answered with 16 KB to a GET; default: a small JSON to a POST of a small JSON. */
  readonly large?: true
}

type PolicyName = (typeof ORDER)[number]["name"]

/** Every policy with options one would write, and which let the request pass. */
const ROWS: Readonly<Record<PolicyName, readonly Row[]>> = {
  request_id: [{ detail: "", options: {} }],
  trace: [{ detail: "continued", options: {} }],
  access_log: [{ detail: "to /dev/null", options: {} }],
  cors: [{ detail: "origin allowed", options: { origins: ["https://app.example.com"] } }],
  compress: [
    { detail: "answer too small", options: {} },
    { detail: "16 KB by gzip", options: { types: ["application/octet-stream"] }, large: true },
  ],
  auth: [{ detail: "JWT, HS256, seen before", options: {} }],
  priority: [{ detail: "", options: "high" }],
  rate_limit: [{ detail: "by ip", options: { by: "ip", rate: "100000/s" } }],
  quota: [
    {
      detail: "SQLite, control plane included",
      options: { name: "calls", per: "month", limits: { default: 1e12 } },
      beside: { auth: {} },
    },
  ],
  body_limit: [{ detail: "", options: { max: "1MB" } }],
  accept: [{ detail: "", options: {} }],
  require_headers: [{ detail: "one of two values", options: { "X-Tenant": ["acme", "umbrella"] } }],
  validate: [
    {
      detail: "query and body",
      options: {
        query: { type: "object", properties: { limit: { type: "integer", minimum: 1, maximum: 100 } } },
        body: {
          type: "object",
          required: ["name", "tags"],
          properties: {
            name: { type: "string", maxLength: 80 },
            tags: { type: "array", items: { type: "string" } },
          },
        },
      },
    },
  ],
  deprecated: [{ detail: "", options: { since: "2026-01-31" } }],
  edit_headers: [
    {
      detail: "two set, one removed",
      options: {
        request: { set: { "X-Gateway": "gatehouse" } },
        response: { set: { "X-Frame-Options": "DENY" }, remove: ["Server"] },
      },
    },
  ],
}

/** A route and the request it gets; `base`: index of the route it is compared with, `undefined` for a base. */
interface Measured {
  readonly title: string
  readonly path: string
  readonly policies: Readonly<Record<string, unknown>>
  readonly large: boolean
  readonly base: number | undefined
}

/** What each policy alone costs a request, in µs of CPU of the whole process, beside the same route without it. */
export async function policies(): Promise<boolean> {
  const { rounds, seconds, warmUpSeconds } = lengthOfRun()
  const measured = toMeasured()
  const tokens = createTokens("HS256")
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  const scripts = writeScripts(directory, tokens.valid[0]!)
  const upstream = await openUpstream(LOAD_CORE)
  const gateway = await openGateway(
    {
      server: { workers: 1 },
      store: "sqlite:./bench.db",
      auth: { secret: tokens.verifyKey, issuer: ISSUER, audience: AUDIENCE },
      services: { up: { instances: [`http://127.0.0.1:${upstream.port}`], pool: { max_connections: 1024 } } },
      routes: measured.map(({ path, policies: own, large }) => ({
        path,
        service: "up",
        rewrite: large ? "/16k" : "/json",
        ...own,
      })),
    },
    CONTENDER_CORE,
  )
  try {
    const costs = measured.map(() => [] as number[])
    let errors = 0
    // The first round is the warm-up of just-in-time compilers.
    for (let round = 0; round <= rounds; round++)
      for (const [i, each] of measured.entries()) {
        const found = await measure(gateway, each, scripts, round === 0 ? warmUpSeconds : seconds)
        errors += found.errors
        if (round > 0) costs[i]!.push(found.us)
      }
    print(measured, costs, rounds)
    console.log(`${errors === 0 ? "PASS" : "FAIL"}: ${errors} requests refused or failed`)
    return errors === 0
  } finally {
    await gateway.stop()
    await upstream.process.stop()
    rmSync(directory, { recursive: true })
  }
}

/** The routes, each base before those compared with it. Throws where a policy has no row. */
function toMeasured(): readonly Measured[] {
  const found: Measured[] = []
  const bases = new Map<string, number>()
  const add = (title: string, own: object, large: boolean, base: number | undefined): number =>
    found.push({ title, path: `/r${found.length}`, policies: { ...own }, large, base }) - 1
  const baseFor = (beside: object, large: boolean): number => {
    const key = JSON.stringify([beside, large])
    const known = bases.get(key)
    if (known !== undefined) return known
    const names = Object.keys(beside)
    const title = names.length === 0 ? "no policy" : `with ${names.join(", ")} alone`
    const index = add(large ? `${title}, 16 KB` : title, beside, large, undefined)
    bases.set(key, index)
    return index
  }
  for (const { name } of ORDER) {
    const rows: readonly Row[] | undefined = ROWS[name]
    if (rows === undefined || rows.length === 0) throw new Error(`bench/policies.ts has no row for ${name}`)
    for (const { detail, options, beside = {}, large = false } of rows) {
      const base = baseFor(beside, large)
      add(detail === "" ? name : `${name}, ${detail}`, { ...beside, [name]: options }, large, base)
    }
  }
  return found
}

/** Scripts for wrk of the small POST and the large GET: both carry what every policy looks for. */
function writeScripts(directory: string, token: string): { small: string; large: string } {
  const headers = {
    authorization: `Bearer ${token}`,
    accept: "application/json, */*;q=0.8",
    "accept-encoding": "gzip",
    origin: "https://app.example.com",
    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "x-tenant": "acme",
  }
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`)
  const write = (name: string, more: readonly string[]): string => {
    writeFileSync(join(directory, name), [...lines, ...more, ""].join("\n"))
    return join(directory, name)
  }
  return {
    small: write("small.lua", [
      'wrk.method = "POST"',
      'wrk.headers["content-type"] = "application/json"',
      `wrk.body = '{"name":"a small document","tags":["one","two"]}'`,
    ]),
    large: write("large.lua", []),
  }
}

async function measure(
  { pid, port }: BenchGateway,
  { path, large }: Measured,
  scripts: { small: string; large: string },
  seconds: number,
): Promise<{ us: number; errors: number }> {
  const before = cpuUs([pid])
  const url = `http://127.0.0.1:${port}${path}?limit=10`
  const { requests, errors } = await wrk(url, CONNECTIONS, seconds, large ? scripts.large : scripts.small)
  return { us: (cpuUs([pid]) - before) / requests, errors }
}

function print(measured: readonly Measured[], costs: readonly (readonly number[])[], rounds: number): void {
  console.log(`\npolicies, µs of CPU a request more than without, min–median–max of ${rounds} rounds`)
  for (const [i, { title, base }] of measured.entries()) {
    if (base === undefined) continue
    const added = costs[i]!.map((us, round) => us - costs[base]![round]!)
    console.log(`${title.padEnd(42)}${formatSpread(spread(added), 1).padStart(22)}`)
  }
  for (const [i, { title, base }] of measured.entries())
    if (base === undefined)
      console.log(`${`(${title}: all)`.padEnd(42)}${median(costs[i]!).toFixed(1).padStart(22)}`)
}

if (import.meta.main) process.exit((await policies()) ? 0 : 1)
