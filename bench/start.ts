import { rmSync } from "node:fs"
import { caddy } from "./contenders/caddy.ts"
import { type Contender, createSite, has } from "./contenders/contender.ts"
import { gatehouse } from "./contenders/gatehouse.ts"
import { haproxy } from "./contenders/haproxy.ts"
import { nginx } from "./contenders/nginx.ts"
import { CONTENDER_CORE, cpuUs, LOAD_CORE } from "./process.ts"
import { JSON_REQUEST, OURS, PLAIN } from "./side_by_side.ts"
import { spread } from "./statistics.ts"
import { formatSpread } from "./table.ts"
import { atMost } from "./targets.ts"
import { openUpstream } from "./upstream.ts"

const RUNS = 11
const DEADLINE_MS = 20_000
const REQUEST = `GET ${JSON_REQUEST.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`

/** From the exec to the first 200 of the upstream through each gateway, one core each, in turns. */
export async function start(): Promise<boolean> {
  const contenders = [gatehouse(OURS), nginx, haproxy, caddy].filter(({ name, needs }) => {
    if (has(needs)) return true
    console.log(`skipped: ${name} (no ${needs} on this machine)`)
    return false
  })
  const upstream = await openUpstream(LOAD_CORE)
  const found = new Map(contenders.map(({ name }) => [name, [] as Started[]]))
  try {
    for (let run = 0; run < RUNS; run++)
      for (const contender of contenders)
        found.get(contender.name)!.push(await startOnce(contender, upstream.port))
  } finally {
    await upstream.process.stop()
  }
  console.log(
    `\nfrom exec to the first 200, min–median–max of ${RUNS} runs; one core, files in memory already`,
  )
  console.log(`${"".padEnd(12)}${"ms".padStart(16)}${"CPU ms".padStart(16)}`)
  for (const [name, runs] of found) {
    const [ms, cpuMs] = [runs.map((each) => each.ms), runs.map((each) => each.cpuMs)]
    console.log(
      `${name.padEnd(12)}${formatSpread(spread(ms), 0).padStart(16)}${formatSpread(spread(cpuMs), 0).padStart(16)}`,
    )
  }
  const ours = spread(found.get(OURS)!.map((each) => each.ms))
  const verdict = atMost("exec to first 200, ms", ours.median, formatSpread(ours, 0), { must: 100, goal: 60 })
  console.log(verdict.text)
  return verdict.held
}

interface Started {
  readonly ms: number
  /** CPU of the first process until then: what does not change with what else the machine does. */
  readonly cpuMs: number
}

async function startOnce(contender: Contender, upstreamPort: number): Promise<Started> {
  const site = createSite(upstreamPort)
  const { command, env, cores = CONTENDER_CORE } = contender.configure(PLAIN, site)
  const startedAt = performance.now()
  const child = Bun.spawn(["taskset", "-c", cores, ...command], {
    stdout: "ignore",
    stderr: "pipe",
    env: { ...process.env, ...env },
  })
  try {
    while (!(await answers(site.port))) {
      if (child.exitCode !== null || performance.now() - startedAt > DEADLINE_MS)
        throw new Error(`starting ${command.join(" ")}: ${await new Response(child.stderr).text()}`)
      await Bun.sleep(1)
    }
    return { ms: performance.now() - startedAt, cpuMs: cpuUs([child.pid]) / 1000 }
  } finally {
    child.kill()
    await child.exited
    rmSync(site.directory, { recursive: true, force: true })
  }
}

/** Whether it answers with 200. */
async function answers(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(REQUEST),
      data(socket, bytes) {
        resolve(bytes.latin1Slice(0, 13) === "HTTP/1.1 200 ")
        socket.terminate()
      },
      close: () => resolve(false),
    },
    // Not listening yet.
  }).catch(() => resolve(false))
  return await promise
}

if (import.meta.main) process.exit((await start()) ? 0 : 1)
