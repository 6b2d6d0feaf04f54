import { MOVE_CURSORS, READ_CURSOR } from "../../store/channel_scripts.ts"
import { type Ack, AckBatch } from "./ack_batch.ts"
import type { ChannelRedis } from "./channel_redis.ts"
import { CURSOR_MS, type Cursor } from "./channel_store.ts"
import type { Position } from "./protocol.ts"

export interface RedisCursorsOptions {
  readonly channels: ChannelRedis
  readonly newId: () => string
  readonly after: (ms: number, run: () => void) => () => void
}

/** How far subscribers of `at_least_once` channels have come, as Redis knows it. As `ChannelStore` has it. */
export class RedisCursors {
  readonly #options: RedisCursorsOptions
  readonly #acks: AckBatch

  constructor(options: RedisCursorsOptions) {
    this.#options = options
    const { after } = options
    this.#acks = new AckBatch({ after, write: (channel, acks) => this.#move(channel, acks) })
  }

  cursor(channel: string, subscriber: string): Promise<Cursor | undefined> {
    return this.#read(channel, subscriber, "get")
  }

  /** Waits up to 10 ms for others of the channel, to be written with them. */
  acknowledge(channel: string, subscriber: string, position: Position): Promise<Cursor> {
    return this.#acks.acknowledge(channel, subscriber, position)
  }

  attempted(channel: string, subscriber: string): Promise<Cursor | undefined> {
    return this.#read(channel, subscriber, "again")
  }

  /** Asks Redis at once for all that waits. */
  flush(): void {
    this.#acks.flush()
  }

  async #read(channel: string, subscriber: string, how: "get" | "again"): Promise<Cursor | undefined> {
    const { channels, newId } = this.#options
    const keys = channels.keys(channel, "state", "log", `cursor:${subscriber}`)
    return toCursors(await channels.ask(READ_CURSOR, keys, [newId(), CURSOR_MS, how]))[0]
  }

  async #move(channel: string, acks: readonly Ack[]): Promise<readonly Cursor[]> {
    const { channels, newId } = this.#options
    const cursors = acks.map(({ subscriber }) => `cursor:${subscriber}`)
    const args = acks.flatMap(({ position: { epoch, offset } }) => [epoch, offset])
    const keys = channels.keys(channel, "state", "log", ...cursors)
    return toCursors(await channels.ask(MOVE_CURSORS, keys, [newId(), CURSOR_MS, CURSOR_MS, ...args]))
  }
}

/** From epoch, offset and attempts of each. */
function toCursors(answer: unknown): readonly Cursor[] {
  const flat = answer as (string | number)[]
  const cursors: Cursor[] = []
  for (let i = 0; i < flat.length; i += 3)
    cursors.push({
      epoch: flat[i] as string,
      offset: flat[i + 1] as number,
      attempts: flat[i + 2] as number,
    })
  return cursors
}
