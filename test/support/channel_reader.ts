import type {
  ChannelListener,
  ChannelStore,
  StoredPublication,
} from "../../src/realtime/channels/channel_store.ts"
import { ChannelStoreError } from "../../src/realtime/channels/channel_store.ts"
import type { Position } from "../../src/realtime/channels/protocol.ts"

const KEPT = { size: 100_000, ttlMs: 600_000 }

/** A subscriber as the hub has them: takes what is live, and goes on from its position when something was missed. */
export class ChannelReader implements ChannelListener {
  readonly got: StoredPublication[] = []
  readonly events: string[] = []
  /** How often it had to begin without what it had missed. */
  anew = 0
  recoveries = 0
  #store: ChannelStore | undefined
  #channel = ""
  #position: Position | undefined
  #recovering = false
  #again = false

  async begin(store: ChannelStore, channel: string): Promise<void> {
    this.#store = store
    this.#channel = channel
    await store.open(this)
    await store.listen(channel)
    const { epoch, offset } = await store.history(channel, undefined, 1, KEPT)
    this.#position = { epoch, offset }
  }

  get position(): Position | undefined {
    return this.#position
  }

  publication(_channel: string, epoch: string, publication: StoredPublication): void {
    const position = this.#position
    if (this.#recovering || position === undefined) this.#again = true
    else if (epoch !== position.epoch || publication.offset > position.offset + 1)
      throw new Error(`a gap: ${epoch} ${publication.offset} after ${position.epoch} ${position.offset}`)
    else if (publication.offset > position.offset) this.#take(epoch, publication)
  }
  joined(channel: string, { client }: { readonly client: string }): void {
    this.events.push(`${client} joined ${channel}`)
  }
  left(channel: string, { client }: { readonly client: string }): void {
    this.events.push(`${client} left ${channel}`)
  }
  lost(): void {
    this.#again = true
    void this.#recover()
  }

  #take(epoch: string, publication: StoredPublication): void {
    this.got.push(publication)
    this.#position = { epoch, offset: publication.offset }
  }

  async #recover(): Promise<void> {
    if (this.#recovering) return
    this.#recovering = true
    this.recoveries++
    while (this.#again) {
      this.#again = false
      try {
        const found = await this.#store!.history(this.#channel, this.#position, 1000, KEPT)
        if (!found.complete) this.anew++
        for (const publication of found.publications) this.#take(found.epoch, publication)
        this.#position = {
          epoch: found.epoch,
          offset: found.complete ? this.#position!.offset : found.offset,
        }
        if (this.#position.offset < found.offset) this.#again = true
      } catch (error) {
        if (!(error instanceof ChannelStoreError)) throw error
        this.#again = true
        await Bun.sleep(20)
      }
    }
    this.#recovering = false
  }
}
