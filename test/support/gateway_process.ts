import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "./until.ts"

const MAIN = join(import.meta.dir, "../../src/main.ts")
export const ADMIN_TOKEN = "a-token-for-tests-only"

export interface LogLine {
  readonly level: string
  readonly event: string
  readonly [field: string]: unknown
}

/** A gateway in a process of its own, as operators run it. */
export interface GatewayProcess {
  readonly pid: number
  readonly port: number
  readonly adminPort: number
  readonly directory: string
  readonly url: string
  /** Events of its log so far, and what else came on standard error. */
  readonly log: readonly LogLine[]
  readonly errors: readonly string[]
  /** Lines of its access log so far. */
  readonly accessLog: readonly LogLine[]
  /** Replaces the config file in one step, as deployment tools do. */
  writeConfig(config: object): void
  admin(path: string, init?: RequestInit): Promise<Response>
  signal(name: NodeJS.Signals): void
  readonly exited: Promise<number>
}

interface Started {
  readonly directory: string
  readonly file: string
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">
  readonly log: LogLine[]
  readonly errors: string[]
  readonly accessLog: LogLine[]
}

const running: Started[] = []

/** Ends what a test has left running. For `afterEach`. */
export async function endGateways(): Promise<void> {
  for (const { process, directory } of running.splice(0)) {
    process.kill("SIGKILL")
    await process.exited
    rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * Starts `gatehouse serve` with this config (ports 0, two workers and a token are filled in). `under`: a command
 * and its options it is run by, e.g. `["prlimit", "--nofile=128"]`, which must replace itself by it.
 */
export async function startGateway(config: object, under: readonly string[] = []): Promise<GatewayProcess> {
  const started = spawnGateway(config, under)
  const { process, log, errors } = started
  let code: number | undefined
  void process.exited.then((exit) => {
    code = exit
  })
  await until(
    () => code !== undefined || log.some((line) => line.event === "gateway.started"),
    "the start",
    20_000,
  )
  const line = log.find((each) => each.event === "gateway.started")
  if (line === undefined) throw new Error(`the gateway ended with ${code}: ${errors.join("\n")}`)
  const portOf = (address: unknown) => Number(String(address).split(":").at(-1))
  const port = portOf(line.address)
  const adminPort = portOf(line.admin)
  return {
    ...started,
    pid: process.pid,
    port,
    adminPort,
    url: `http://127.0.0.1:${port}`,
    writeConfig: (next) => writeAtomically(started.file, next),
    admin: (path, init = {}) =>
      fetch(`http://127.0.0.1:${adminPort}${path}`, {
        ...init,
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, ...init.headers },
      }),
    signal: (name) => process.kill(name),
    exited: process.exited,
  }
}

/** Starts it and waits for its end: for starts that should fail. */
export async function failedStart(config: object): Promise<{ code: number; errors: string }> {
  const { process, errors, log } = spawnGateway(config)
  const code = await process.exited
  await until(() => errors.length + log.length > 0, "its last words")
  return { code, errors: errors.join("\n") }
}

/** The compiled binary in `./build.sh test`; the source where a test is run by itself. */
export const COMMAND =
  process.env.GATEHOUSE_BINARY === undefined ? [process.execPath, MAIN] : [process.env.GATEHOUSE_BINARY]

function spawnGateway(config: object, under: readonly string[] = []): Started {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-test-"))
  const file = join(directory, "gatehouse.json")
  writeAtomically(file, config)
  const process = Bun.spawn([...under, ...COMMAND, "serve", "-c", file], {
    cwd: directory,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
  const started: Started = { directory, file, process, log: [], errors: [], accessLog: [] }
  void readLines(process.stderr, started.log, started.errors)
  void readLines(process.stdout, started.accessLog, started.errors)
  running.push(started)
  return started
}

function writeAtomically(file: string, config: object): void {
  const { server, admin, ...rest } = config as { server?: object; admin?: object }
  const whole = {
    server: { host: "127.0.0.1", port: 0, workers: 2, drain_delay: "200ms", ...server },
    admin: { port: 0, token: ADMIN_TOKEN, ...admin },
    ...rest,
  }
  writeFileSync(`${file}.new`, JSON.stringify(whole))
  renameSync(`${file}.new`, file)
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  lines: LogLine[],
  other: string[],
): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n")
    rest = parts.pop()!
    for (const part of parts) {
      if (part.startsWith("{")) lines.push(JSON.parse(part))
      else other.push(part)
    }
  }
}
