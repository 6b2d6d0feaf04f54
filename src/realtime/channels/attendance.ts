import type { Clock } from "../../lib/clock.ts"
import type { ChannelStore } from "./channel_store.ts"
import type { Member } from "./protocol.ts"

/** Presence lasts this long without word of the gateway. */
export const PRESENCE_MS = 60_000
/** Three words may be lost. */
const REFRESH_MS = 15_000

interface Present {
  readonly worker: number
  readonly member: Member
  readonly announce: boolean
}

/** Which connections of this gateway are in which channels; the store is told, and told again before it forgets. */
export class Attendance {
  readonly #store: Pick<ChannelStore, "enter" | "leave" | "refresh">
  readonly #now: Clock
  /** By channel and client. */
  readonly #channels = new Map<string, Map<string, Present>>()
  readonly #channelsOf = new Map<string, Set<string>>()
  #refreshedAt: number

  constructor(store: Pick<ChannelStore, "enter" | "leave" | "refresh">, now: Clock) {
    this.#store = store
    this.#now = now
    this.#refreshedAt = now()
  }

  async enter(worker: number, channel: string, member: Member, announce: boolean): Promise<undefined> {
    let present = this.#channels.get(channel)
    if (present === undefined) {
      present = new Map()
      this.#channels.set(channel, present)
    }
    present.set(member.client, { worker, member, announce })
    const channels = this.#channelsOf.get(member.client)
    if (channels === undefined) this.#channelsOf.set(member.client, new Set([channel]))
    else channels.add(channel)
    await this.#store.enter(channel, member, PRESENCE_MS, announce)
    return undefined
  }

  async leave(channel: string, client: string): Promise<undefined> {
    const present = this.#channels.get(channel)
    const found = present?.get(client)
    if (present === undefined || found === undefined) return undefined
    present.delete(client)
    if (present.size === 0) this.#channels.delete(channel)
    const channels = this.#channelsOf.get(client)
    channels?.delete(channel)
    if (channels?.size === 0) this.#channelsOf.delete(client)
    await this.#store.leave(channel, found.member, found.announce)
    return undefined
  }

  /** A connection has ended: it leaves what it has not left yet. */
  async gone(client: string): Promise<void> {
    const channels = this.#channelsOf.get(client)
    if (channels !== undefined) await Promise.all([...channels].map((channel) => this.leave(channel, client)))
  }

  async lost(worker: number): Promise<void> {
    const gone: Promise<undefined>[] = []
    for (const [channel, present] of this.#channels)
      for (const [client, each] of present) if (each.worker === worker) gone.push(this.leave(channel, client))
    await Promise.all(gone)
  }

  async tick(): Promise<void> {
    if (this.#now() - this.#refreshedAt < REFRESH_MS) return
    this.#refreshedAt = this.#now()
    for (const [channel, present] of this.#channels) {
      const members = Array.from(present.values(), ({ member }) => member)
      await this.#store.refresh(channel, members, PRESENCE_MS)
    }
  }
}
