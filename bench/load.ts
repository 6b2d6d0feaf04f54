import { writeFileSync } from "node:fs"
import { LOAD_CORE } from "./process.ts"

export interface Load {
  readonly requests: number
  readonly seconds: number
  readonly errors: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

/**
 * Closed-loop load by wrk: as many requests as the contender takes over `connections` connections. `script`: a
 * file in Lua that says what is asked; `undefined`: `url` by GET.
 */
export async function wrk(url: string, connections: number, seconds: number, script?: string): Promise<Load> {
  const command = ["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "--timeout", "10s"]
  if (script !== undefined) command.push("-s", script)
  const child = Bun.spawn(["taskset", "-c", LOAD_CORE, ...command, url], { stdout: "pipe", stderr: "pipe" })
  const text = await new Response(child.stdout).text()
  const total = /(\d+) requests in ([\d.]+)(m?s|m)/.exec(text)
  if ((await child.exited) !== 0 || total === null) throw new Error(`wrk on ${url}: ${text}`)
  const failed = [...text.matchAll(/(?:connect|read|write|timeout|Non-2xx or 3xx responses:?) ?:? ?(\d+)/g)]
  return {
    requests: Number(total[1]),
    seconds: Number(total[2]),
    errors: failed.reduce((sum, found) => sum + Number(found[1]), 0),
    p50: percentile(text, "50"),
    p99: percentile(text, "99"),
  }
}

/** Writes a script for wrk that sends what `fill`, in Lua, puts into the list `requests`, by turns. */
export function writeTurns(file: string, fill: string): void {
  writeFileSync(
    file,
    `local requests, turn = {}, 0
function init()
  ${fill}
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
`,
  )
}

function percentile(text: string, which: string): number {
  const found = new RegExp(`^\\s+${which}%\\s+([\\d.]+)(us|ms|s)`, "m").exec(text)
  if (found === null) return Number.NaN
  return Number(found[1]) * ({ us: 0.001, ms: 1, s: 1000 }[found[2]!] ?? Number.NaN)
}
