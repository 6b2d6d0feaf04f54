import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Redis as Client } from "ioredis"
import { freePort } from "./nginx.ts"
import { untilAsked } from "./until.ts"

/** A real Redis with a folder of its own, on a port of 127.0.0.1. It keeps nothing on disk. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  /** For looking into it. */
  readonly client: Client
  /** Sends a signal: SIGSTOP lets it hang, SIGCONT go on. */
  signal(name: NodeJS.Signals): void
  /** As a crash does; its data is gone. */
  kill(): Promise<void>
  /** Starts it again, on the same port, empty. */
  start(): Promise<void>
}

interface Running {
  readonly folder: string
  process: Bun.Subprocess | undefined
  readonly client: Client
}

const running: Running[] = []

/** Ends what a test has left running. For `afterEach`. */
export async function endRedis(): Promise<void> {
  for (const { folder, process, client } of running.splice(0)) {
    client.disconnect()
    process?.kill("SIGKILL")
    await process?.exited
    rmSync(folder, { recursive: true, force: true })
  }
}

/** `lines`: more of its config file. `sentinel`: it is one. `password`: what the file asks for. */
export async function startRedis(
  lines: readonly string[] = [],
  { sentinel = false, password }: { readonly sentinel?: boolean; readonly password?: string } = {},
): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-redis-"))
  const port = freePort()
  const file = join(folder, "redis.conf")
  const settings = [`port ${port}`, "bind 127.0.0.1", `dir ${folder}`, 'save ""', "appendonly no", ...lines]
  if (sentinel) settings.splice(3, 2)
  writeFileSync(file, `${settings.join("\n")}\n`)
  const client = new Client({
    port,
    host: "127.0.0.1",
    lazyConnect: true,
    ...(password !== undefined && { password }),
    retryStrategy: () => 20,
  })
  client.on("error", () => {
    // Tests end it on purpose.
  })
  const server: Running = { folder, process: undefined, client }
  running.push(server)
  async function start(): Promise<void> {
    const child = Bun.spawn(["redis-server", file, ...(sentinel ? ["--sentinel"] : [])], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    })
    server.process = child
    await untilAsked(async () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`)
      return await client.ping().then(
        () => true,
        () => false,
      )
    }, "redis-server to answer")
  }
  await start()
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    client,
    signal: (name) => server.process?.kill(name),
    async kill() {
      server.process?.kill("SIGKILL")
      await server.process?.exited
    },
    start,
  }
}
