import { READ_CHANNEL } from "../../store/channel_scripts.ts"
import type { Redis, Script } from "../../store/redis.ts"
import { Turns } from "../../store/turns.ts"
import {
  ChannelStoreError,
  CURSOR_MS,
  type History,
  type Retention,
  type StoredPublication,
} from "./channel_store.ts"
import type { Position, Publisher } from "./protocol.ts"

export interface ChannelRedisOptions {
  /** Knows `CHANNEL_SCRIPTS`. Not closed here. */
  readonly redis: Pick<Redis, "prefix" | "run">
  /** A word nobody has used before, of letters, digits, "-" and "_", at most 64. */
  readonly newId: () => string
  /** Runs something once after so many ms; what it returns takes it back. */
  readonly after: (ms: number, run: () => void) => () => void
}

/** Longest wait for an answer, the wait for a turn included. */
const TIMEOUT_MS = 2000
/** Questions under way at a time, and those that may wait for a turn; beyond, they are refused at once. */
const AT_ONCE = 500
const MAX_WAITING = 20_000
/** Bytes of publications in one answer, about: what others ask of Redis waits behind it. */
const PAGE_BYTES = 1_000_000

/** What channels are called in a Redis, and how it is asked: never for longer, or by more at a time, than is bearable. */
export class ChannelRedis {
  readonly #options: ChannelRedisOptions
  readonly #turns = new Turns(AT_ONCE, MAX_WAITING, TIMEOUT_MS)

  constructor(options: ChannelRedisOptions) {
    this.#options = options
  }

  /** Rejects with `ChannelStoreError`. */
  ask(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return this.inTime(this.#inTurn(script, keys, args))
  }

  /** Rejects with `ChannelStoreError` when the work does, or takes too long. */
  async inTime<T>(work: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>()
    const cancel = this.#options.after(TIMEOUT_MS, () =>
      late.reject(new Error(`no answer within ${TIMEOUT_MS} ms`)),
    )
    try {
      return await Promise.race([work, late.promise])
    } catch (error) {
      throw new ChannelStoreError(`asking the Redis of channels: ${(error as Error).message}`)
    } finally {
      cancel()
    }
  }

  /** Publications as `ChannelStore.history` gives them, but fewer than there are if they are large. */
  async page(
    channel: string,
    since: Position | undefined,
    limit: number,
    { size, ttlMs }: Retention,
    bytes = PAGE_BYTES,
  ): Promise<History> {
    const answer = (await this.ask(READ_CHANNEL, this.keys(channel, "state", "log"), [
      this.#options.newId(),
      CURSOR_MS,
      size,
      ttlMs,
      limit,
      Math.min(bytes, PAGE_BYTES),
      ...(since === undefined ? [] : [since.epoch, since.offset]),
    ])) as (string | number)[]
    const publications: StoredPublication[] = []
    for (let i = 3; i < answer.length; i += 3)
      publications.push({
        offset: answer[i] as number,
        publisher: toPublisher(answer[i + 1] as string),
        data: answer[i + 2] as string,
      })
    return {
      epoch: answer[0] as string,
      offset: answer[1] as number,
      complete: answer[2] === 1,
      known: since !== undefined && answer[2] !== -1,
      publications,
    }
  }

  /** All of a channel are on one node of a Cluster. */
  keys(channel: string, ...parts: readonly string[]): string[] {
    return parts.map((part) => `{${this.name(channel)}}:${part}`)
  }

  /** Where it is told what happens in a channel. */
  name(channel: string): string {
    return `${this.#options.redis.prefix}:channel:${channel}`
  }

  /** The channel of such a name. */
  channelOf(name: string): string {
    return name.slice(this.#options.redis.prefix.length + ":channel:".length)
  }

  kept(key: string): string {
    return `${this.#options.redis.prefix}:kept:${key}`
  }

  async #inTurn(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    await this.#turns.take()
    try {
      return await this.#options.redis.run(script, keys, args)
    } finally {
      this.#turns.give()
    }
  }
}

export const toPublisher = (text: string): Publisher | undefined =>
  text === "" ? undefined : (JSON.parse(text) as Publisher)
