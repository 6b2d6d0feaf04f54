import { PUSH_TEXT, READ_TEXTS, TELL } from "../../store/kept_scripts.ts"
import type { Redis } from "../../store/redis.ts"
import type { RedisSubscriber, SubscriberDeps } from "../../store/redis_subscriber.ts"
import type { Alarm } from "./alarm.ts"

export interface AlarmLineOptions {
  /** Knows `CHANNEL_SCRIPTS`. Not closed here. */
  readonly redis: Pick<Redis, "prefix" | "run">
  /** Opens a connection of its own; closed here. */
  readonly subscribe: (deps: Pick<SubscriberDeps, "onMessage" | "onResumed">) => RedisSubscriber
  /** A word nobody has used before. */
  readonly newId: () => string
  readonly wallClock: () => number
  /** Of another gateway, or an own one; perhaps not for the first time. Must not throw. */
  readonly onAlarm: (alarm: Alarm) => void
}

/** Alarms that are kept for gateways that were not connected: so many, and for so long. */
const MAX_KEPT = 200
const KEPT_MS = 5 * 60_000
/** Words to itself that may go unheard before the connection they come by is given up. */
const MAX_UNHEARD = 3

/**
 * The way alarms take from gateway to gateway: in Redis, but by a connection and a name of their own, so that nothing
 * else that is told waits before them.
 */
export class AlarmLine {
  readonly #options: AlarmLineOptions
  readonly #name: string
  readonly #list: string
  /** Name this gateway hears itself under. */
  readonly #own: string
  readonly #subscriber: RedisSubscriber
  #unheard = 0

  constructor(options: AlarmLineOptions) {
    this.#options = options
    const { prefix } = options.redis
    this.#name = `${prefix}:alarms`
    this.#list = `${prefix}:alarms:kept`
    this.#own = `${prefix}:alarms:${options.newId()}`
    this.#subscriber = options.subscribe({
      onMessage: (name, text) => this.#heard(name, text),
      onResumed: () => void this.#makeUp(),
    })
    // Without a connection yet they are subscribed to as soon as there is one.
    for (const name of [this.#name, this.#own]) this.#subscriber.subscribe(name).catch(() => {})
  }

  /** Whether all gateways have heard it, or will when they are connected again. Never rejects. */
  async tell(alarm: Alarm): Promise<boolean> {
    const { redis } = this.#options
    const text = JSON.stringify(alarm)
    try {
      // First: who is told nothing reads it when it is connected again.
      await redis.run(PUSH_TEXT, [this.#list], [text, MAX_KEPT, KEPT_MS])
      await redis.run(TELL, [this.#name], [text])
      return true
    } catch {
      // Redis tells its own log why it is away.
      return false
    }
  }

  /** Call about once a second. */
  tick(): void {
    this.#options.redis.run(TELL, [this.#own], [""]).then(
      () => {
        // It was told: who does not hear it is connected to a server that is no master any more, or to nothing.
        if (++this.#unheard <= MAX_UNHEARD) return
        this.#unheard = 0
        this.#subscriber.reconnect()
      },
      // It is tried again at the next tick.
      () => {},
    )
  }

  close(): void {
    this.#subscriber.close()
  }

  #heard(name: string, text: string): void {
    this.#unheard = 0
    if (name === this.#name) this.#take(text)
  }

  /** What was told while it was not connected; what is known is known to whoever listens. */
  async #makeUp(): Promise<void> {
    this.#unheard = 0
    try {
      const texts = (await this.#options.redis.run(READ_TEXTS, [this.#list], [MAX_KEPT])) as string[]
      for (const text of texts.reverse()) this.#take(text)
    } catch {
      // Both connections broke: the next one that is made asks again.
    }
  }

  #take(text: string): void {
    const alarm = toAlarmRead(text)
    if (alarm !== undefined && alarm.at > this.#options.wallClock() - KEPT_MS) this.#options.onAlarm(alarm)
  }
}

/** Another version of the gateway may have written it. */
function toAlarmRead(text: string): Alarm | undefined {
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch {
    return undefined
  }
  const { id, at, text: push, user, channels } = (read ?? {}) as Partial<Alarm>
  const whole = typeof id === "string" && typeof at === "number" && typeof push === "string"
  return whole && typeof user === "string" && Array.isArray(channels) ? (read as Alarm) : undefined
}
