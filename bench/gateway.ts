import { mkdtempSync, renameSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** The compiled binary under test. */
export const BINARY = process.env.GATEHOUSE_BINARY ?? join(import.meta.dir, "..", "dist", "gatehouse")
const TOKEN = "benchmark-token-0123456789"

export interface LogLine {
  readonly event: string
  /** `performance.now()` of this process when it was read. */
  readonly at: number
  readonly [field: string]: unknown
}

/** The compiled gateway with a config of the scenario's own. */
export interface BenchGateway {
  readonly pid: number
  readonly port: number
  readonly log: readonly LogLine[]
  /** Waits for an event of its log, from the line `from` on. */
  logged(event: string, from?: number): Promise<LogLine>
  /** Replaces the config file; nothing is told to the gateway, which watches it. */
  writeConfig(config: object): void
  /** Applies the file now. Throws when the gateway refuses it. */
  reload(): Promise<void>
  stop(): Promise<void>
}

/** Starts it pinned to `core`; ports and a token are filled in. */
export async function openGateway(config: object, core: string): Promise<BenchGateway> {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  const file = join(directory, "gatehouse.json")
  const writeConfig = (next: object): void => {
    const { server, admin, ...rest } = next as { server?: object; admin?: object }
    const whole = {
      server: { host: "127.0.0.1", port: 0, ...server },
      admin: { port: 0, token: TOKEN, ...admin },
      ...rest,
    }
    writeFileSync(`${file}.new`, JSON.stringify(whole))
    renameSync(`${file}.new`, file)
  }
  writeConfig(config)
  const child = Bun.spawn(["taskset", "-c", core, BINARY, "serve", "-c", file], {
    cwd: directory,
    stdout: "ignore",
    stderr: "pipe",
  })
  const log: LogLine[] = []
  const errors: string[] = []
  void readLog(child.stderr, log, errors)
  const logged = async (event: string, from = 0): Promise<LogLine> => {
    const deadline = performance.now() + 60_000
    for (;;) {
      const found = log.slice(from).find((line) => line.event === event)
      if (found !== undefined) return found
      if (child.exitCode !== null || performance.now() > deadline)
        throw new Error(
          `the gateway did not log ${event}: ${errors.join("\n")} ${JSON.stringify(log.slice(-5))}`,
        )
      await Bun.sleep(5)
    }
  }
  const started = await logged("gateway.started")
  const portOf = (address: unknown): number => Number(String(address).split(":").at(-1))
  const reloadUrl = `http://127.0.0.1:${portOf(started.admin)}/admin/v1/reload`
  return {
    pid: child.pid,
    port: portOf(started.address),
    log,
    logged,
    writeConfig,
    async reload() {
      const headers = { authorization: `Bearer ${TOKEN}` }
      const response = await fetch(reloadUrl, { method: "POST", headers })
      if (!response.ok) throw new Error(`reload: ${response.status} ${await response.text()}`)
      await response.bytes()
    },
    async stop() {
      child.kill("SIGKILL")
      await child.exited
    },
  }
}

async function readLog(stream: ReadableStream<Uint8Array>, log: LogLine[], errors: string[]): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n")
    rest = lines.pop()!
    for (const line of lines) {
      if (line.startsWith("{")) log.push({ ...JSON.parse(line), at: performance.now() })
      else errors.push(line)
    }
  }
}
