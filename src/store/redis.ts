import type { EventEmitter } from "node:events"
import type { Redis as Client, Cluster } from "ioredis"
import { after } from "../lib/after.ts"
import type { Log } from "../observe/log.ts"
import { openClient, pauseMs } from "./redis_client.ts"
import type { RedisSettings } from "./redis_settings.ts"

/** A Lua script that runs as one step. Its first key tells a Cluster where, so all keys share a hash tag. */
export interface Script {
  /** A word of letters. */
  readonly name: string
  readonly lua: string
}

export interface RedisDeps {
  readonly log: Log
  /** Told when Redis begins and ceases to answer. */
  readonly onUp: (up: boolean) => void
  readonly random: () => number
}

type Commander = Pick<Client, "status" | "connect" | "disconnect">
/** What the library makes of a script. */
type Scripts = Readonly<
  Record<string, (keys: number, ...rest: readonly (string | number)[]) => Promise<unknown>>
>
/** A command may be so many times as late as `command_timeout` before its connection is given up. */
const GIVE_UP_AFTER = 10
/** Commands under way; beyond, `run` rejects at once. */
const MAX_UNDER_WAY = 2000

/**
 * A Redis that may be away. Nothing is ever queued for it: without a connection `run` rejects at once, and what was
 * under way on a connection that breaks is rejected too, done or not. It connects again for as long as it is open.
 */
export class Redis {
  /** What the names of all keys begin with. */
  readonly prefix: string
  readonly #client: Commander & Scripts
  readonly #deps: RedisDeps
  readonly #timeoutMs: number
  #up: boolean | undefined
  #underWay = 0
  #closed = false
  /** Attempts since the library gave up, and what takes back the next of them. */
  #revivals = 0
  #cancel = (): void => {}
  #losses = 0
  /** The last that went wrong with the connection. */
  #reason = "not connected yet"

  constructor(
    client: Client | Cluster,
    scripts: readonly Script[],
    settings: RedisSettings,
    deps: RedisDeps,
  ) {
    this.#client = client as unknown as Commander & Scripts
    this.#deps = deps
    this.#timeoutMs = settings.commandTimeoutMs
    this.prefix = settings.prefix
    for (const { name, lua } of scripts) client.defineCommand(name, { lua })
    // The same events in both, whose types differ.
    const events = client as EventEmitter
    events.on("error", (error: Error) => {
      this.#reason = error.message
    })
    events.on("close", () => {
      this.#losses++
      this.#tell(false, this.#reason)
    })
    events.on("end", () => this.#revive())
    // One node of a Cluster.
    events.on("-node", () => this.#losses++)
    // Until the first answer nobody knows.
    deps.onUp(false)
  }

  /** Whether the last answer came in time, on a connection that still stands. */
  get up(): boolean {
    return this.#up ?? false
  }

  /** Whether there is a connection to try. */
  get connected(): boolean {
    return this.#client.status === "ready"
  }

  /** Rises when a connection breaks: after that another server may answer, which has lost what was written last. */
  get losses(): number {
    return this.#losses
  }

  /**
   * Runs a script; `keys` first, then `args`. Rejects when it fails, when there is no connection, and when the
   * connection breaks, in which case it may have been run. An answer may be late: after `command_timeout` Redis counts
   * as away, after ten times as long the connection is given up.
   */
  async run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    if (!this.connected) throw new Error(`asking Redis: ${this.#reason}`)
    if (this.#underWay >= MAX_UNDER_WAY) throw new Error("asking Redis: too much is under way")
    const late = setTimeout(() => this.#tell(false, "its answers take too long"), this.#timeoutMs)
    const lost = setTimeout(() => this.#client.disconnect(true), this.#timeoutMs * GIVE_UP_AFTER)
    this.#underWay++
    const askedAt = performance.now()
    try {
      const answer = await this.#client[script.name]!(keys.length, ...keys, ...args)
      if (performance.now() - askedAt < this.#timeoutMs) this.#tell(true, "")
      return answer
    } catch (error) {
      this.#tell(false, (error as Error).message)
      throw error
    } finally {
      this.#underWay--
      clearTimeout(late)
      clearTimeout(lost)
    }
  }

  close(): void {
    this.#closed = true
    this.#cancel()
    this.#client.disconnect()
  }

  /**
   * The library ends for good when it is told of another master while it still looks for the one before: what
   * breaks its search off counts to it as a failure to connect at all.
   */
  #revive(): void {
    if (this.#closed) return
    this.#cancel()
    this.#cancel = after(pauseMs(++this.#revivals, this.#deps.random), () => {
      // Its failures come as events too.
      this.#client.connect().catch(() => {})
    })
  }

  #tell(up: boolean, reason: string): void {
    if (this.#up === up || this.#closed) return
    const first = this.#up === undefined
    this.#up = up
    this.#deps.onUp(up)
    if (up) this.#revivals = 0
    if (up) this.#deps.log.info("redis.available", { first })
    else this.#deps.log.error("redis.unavailable", { reason })
  }
}

/**
 * Begins to connect and does not wait. Throws when the file of authorities cannot be read. The library is loaded
 * here, as most gateways need none.
 */
export async function openRedis(
  settings: RedisSettings,
  scripts: readonly Script[],
  deps: RedisDeps,
): Promise<Redis> {
  return new Redis(await openClient(settings, deps.random), scripts, settings, deps)
}
