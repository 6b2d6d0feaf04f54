import { mkdirSync, mkdtempSync, readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SQL } from "bun"
import { freePort } from "./nginx.ts"

/** A real PostgreSQL with its data in a folder of its own, on a port of 127.0.0.1. It keeps nothing from a power cut. */
export interface Postgres {
  /** Of the database `postgres`, as the superuser. */
  readonly url: string
  readonly port: number
  /** A new, empty database; its URL. */
  createDatabase(): Promise<string>
  /** Ends it as an operator does: connections are closed, data is kept. */
  stop(): Promise<void>
  /** Ends it as a crash does: nobody is told, data is kept. */
  kill(): Promise<void>
  /** Starts it again, on the same port with the same data. */
  start(): Promise<void>
  /** For good. */
  remove(): Promise<void>
}

/** Ends a server and takes its folder away when its standard input ends. */
const JANITOR = `cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid")
is_ours() { tr '\\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$1/data"; }
is_ours "$1" && kill -QUIT "$pid"
while is_ours "$1"; do sleep 0.05; done
rm -rf "$1"`

/** Databases made so far, by all servers: names are told apart by it. */
let databases = 0
let shared: Promise<Postgres> | undefined

/** One server for all test files of this process, which must not stop it; it ends with the process. */
export function sharedPostgres(): Promise<Postgres> {
  shared ??= startPostgres()
  return shared
}

/** A server of one's own. `settings`: of postgresql.conf, e.g. `["max_connections=5"]`. */
export async function startPostgres(settings: readonly string[] = []): Promise<Postgres> {
  const programs = programFolder()
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-postgres-"))
  const data = join(folder, "data")
  mkdirSync(data, { mode: 0o700 })
  // It refuses to run as root.
  const as =
    process.getuid?.() === 0 ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] : []
  if (as.length > 0) Bun.spawnSync(["chown", "-R", "nobody:nogroup", folder])
  const made = Bun.spawnSync(
    [
      ...as,
      join(programs, "initdb"),
      "-D",
      data,
      "-U",
      "postgres",
      "-A",
      "trust",
      "-N",
      "-E",
      "UTF8",
      "--locale=C",
    ],
    { stdout: "ignore", stderr: "pipe", cwd: folder },
  )
  if (made.exitCode !== 0) throw new Error(`making a PostgreSQL: ${made.stderr.toString()}`)
  const port = freePort()
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const options = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    `unix_socket_directories=${folder}`,
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    ...settings,
  ].flatMap((each) => ["-c", each])
  let child: Bun.Subprocess | undefined
  // The test runner ends without a word to those who would hear of it: this one sees its pipe close.
  const janitor = Bun.spawn(["setsid", "sh", "-c", JANITOR, "sh", folder], {
    stdin: "pipe",
    stderr: "ignore",
  })
  async function end(signal: NodeJS.Signals): Promise<void> {
    child?.kill(signal)
    await child?.exited
    child = undefined
  }
  async function start(): Promise<void> {
    const deadline = performance.now() + 15_000
    for (;;) {
      const now = Bun.spawn([...as, join(programs, "postgres"), "-D", data, ...options], {
        stdout: "ignore",
        stderr: "ignore",
        cwd: folder,
      })
      child = now
      // One that crashed leaves processes that keep its memory for a moment: the next one gives up at once.
      while (now.exitCode === null && performance.now() < deadline) {
        if (await answers(url)) return
        await Bun.sleep(20)
      }
      if (performance.now() > deadline) throw new Error("starting PostgreSQL: it does not answer")
    }
  }
  await start()
  return {
    url,
    port,
    async createDatabase() {
      const name = `test_${++databases}`
      const sql = new SQL({ url, database: "postgres", max: 1 })
      try {
        await sql.unsafe(`CREATE DATABASE ${name}`)
      } finally {
        await sql.close()
      }
      return url.replace(/postgres$/, name)
    },
    stop: () => end("SIGINT"),
    kill: () => end("SIGKILL"),
    start,
    async remove() {
      await end("SIGQUIT")
      janitor.stdin.end()
      await janitor.exited
    },
  }
}

/** Where Debian has put the newest server. */
function programFolder(): string {
  const root = "/usr/lib/postgresql"
  const newest = readdirSync(root).sort((a, b) => Number(b) - Number(a))[0]
  return join(root, newest!, "bin")
}

async function answers(url: string): Promise<boolean> {
  const sql = new SQL({ url, database: "postgres", max: 1, connectionTimeout: 2 })
  try {
    await sql.unsafe("SELECT 1")
    return true
  } catch {
    // Not yet.
    return false
  } finally {
    await sql.close()
  }
}
