import type { Redis as Client } from "ioredis"
import { after } from "../lib/after.ts"
import { openSubscriberClient, pauseMs } from "./redis_client.ts"
import type { RedisSettings } from "./redis_settings.ts"

export interface SubscriberDeps {
  readonly random: () => number
  readonly onMessage: (name: string, text: string) => void
  /** Connected, and subscribed to all there was before; what was published in between was missed. */
  readonly onResumed: () => void
  /** The connection broke, or could not be made; another is tried. */
  readonly onLost: (reason: string) => void
}

/** Names in one command when all are subscribed to again. */
const BATCH = 500
/** Commands under way; beyond, `subscribe` rejects at once. */
const MAX_UNDER_WAY = 2000

/** A connection to Redis for what others publish. It connects again, with all its names, for as long as it is open. */
export class RedisSubscriber {
  readonly #settings: RedisSettings
  readonly #deps: SubscriberDeps
  readonly #names = new Set<string>()
  #client: Client | undefined
  /** Subscribed to all names there were when it connected. */
  #live = false
  #attempts = 0
  #underWay = 0
  #closed = false
  #cancel = (): void => {}

  /** Begins to connect and does not wait. */
  constructor(settings: RedisSettings, deps: SubscriberDeps) {
    this.#settings = settings
    this.#deps = deps
    void this.#connect()
  }

  /** Whether all names are subscribed to. */
  get live(): boolean {
    return this.#live
  }

  /** Resolves when it is; rejects without a connection, or when that breaks. The name stays until `unsubscribe`. */
  async subscribe(name: string): Promise<void> {
    this.#names.add(name)
    if (this.#client?.status !== "ready") throw new Error("subscribing in Redis: there is no connection")
    if (this.#underWay >= MAX_UNDER_WAY) throw new Error("subscribing in Redis: too much is under way")
    this.#underWay++
    try {
      await this.#client.subscribe(name)
    } finally {
      this.#underWay--
    }
  }

  unsubscribe(name: string): void {
    if (!this.#names.delete(name) || this.#client?.status !== "ready") return
    // Without a connection there is nothing to take back.
    this.#client.unsubscribe(name).catch(() => {})
  }

  /** Gives the connection up, as it tells nothing any more; another is made. */
  reconnect(): void {
    this.#client?.disconnect()
  }

  close(): void {
    this.#closed = true
    this.#cancel()
    this.#client?.disconnect()
  }

  async #connect(): Promise<void> {
    let client: Client
    try {
      client = await openSubscriberClient(this.#settings, ++this.#attempts)
    } catch (error) {
      this.#again((error as Error).message)
      return
    }
    if (this.#closed) {
      client.disconnect()
      return
    }
    this.#client = client
    let reason = "the connection was closed"
    client.on("error", (error: Error) => {
      reason = error.message
    })
    client.on("message", this.#deps.onMessage)
    client.on("ready", () => void this.#resume(client))
    client.on("end", () => {
      if (this.#client === client) this.#again(reason)
    })
  }

  #again(reason: string): void {
    this.#client = undefined
    this.#live = false
    if (this.#closed) return
    this.#deps.onLost(reason)
    this.#cancel = after(pauseMs(this.#attempts, this.#deps.random), () => void this.#connect())
  }

  async #resume(client: Client): Promise<void> {
    const names = [...this.#names]
    try {
      for (let i = 0; i < names.length; i += BATCH) await client.subscribe(...names.slice(i, i + BATCH))
    } catch {
      // Refused, or broken meanwhile: begin again.
      client.disconnect()
      return
    }
    // What was given up meanwhile must not stay.
    for (const name of names) if (!this.#names.has(name)) client.unsubscribe(name).catch(() => {})
    this.#attempts = 0
    this.#live = true
    this.#deps.onResumed()
  }
}
