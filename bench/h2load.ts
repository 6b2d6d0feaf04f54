import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Load } from "./load.ts"
import { LOAD_CORE } from "./process.ts"

/** Requests under way at a time on each connection. */
export const STREAMS = 10

/** Closed-loop load over HTTP/2 by h2load: as many requests as the contender takes. */
export async function h2load(url: string, connections: number, seconds: number): Promise<Load> {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  try {
    const log = join(directory, "requests")
    const command = ["h2load", "-t1", `-c${connections}`, `-m${STREAMS}`, `-D${seconds}`, `--log-file=${log}`]
    const child = Bun.spawn(["taskset", "-c", LOAD_CORE, ...command, url], { stdout: "pipe", stderr: "pipe" })
    const text = await new Response(child.stdout).text()
    const counts = /(\d+) done, (\d+) succeeded, (\d+) failed, \d+ errored, (\d+) timeout/.exec(text)
    if ((await child.exited) !== 0 || counts === null) throw new Error(`h2load on ${url}: ${text}`)
    const [requests, succeeded] = [Number(counts[1]), Number(counts[2])]
    if (!text.includes("Application protocol: h2")) throw new Error(`h2load on ${url}: not HTTP/2: ${text}`)
    const times = durations(readFileSync(log, "utf8"))
    const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))]! / 1000
    return { requests, seconds, errors: requests - succeeded, p50: at(0.5), p99: at(0.99) }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** Microseconds of every request, in order of size; a line of the log is its start, its status and this. */
const durations = (log: string): Float64Array =>
  Float64Array.from(log.trimEnd().split("\n"), (line) =>
    Number(line.slice(line.lastIndexOf("\t") + 1)),
  ).sort()
