import type { Log } from "../../observe/log.ts"
import { type ChannelStore, ChannelStoreError, type Cursor, type StoredPublication } from "./channel_store.ts"
import type {
  AckedSubscriber,
  Found,
  HubCommand,
  PublicationText,
  Redelivery,
  Subscribed,
} from "./hub_messages.ts"
import type { Position } from "./protocol.ts"

type Of<D extends HubCommand["do"]> = Extract<HubCommand, { do: D }>

export interface ResumptionOptions {
  readonly store: ChannelStore
  readonly wallClock: () => number
  readonly log: Log
  readonly onRedelivered: (namespace: string) => void
  readonly onBuried: (namespace: string, reason: "max_deliveries" | "gone") => void
}

/** Where a subscriber goes on, and what it is given first. All methods reject with `ChannelStoreError` only. */
export class Resumption {
  readonly #options: ResumptionOptions

  constructor(options: ResumptionOptions) {
    this.#options = options
  }

  async subscribe(command: Of<"subscribe">): Promise<Subscribed> {
    const { since, acked } = command
    if (acked !== undefined) return this.#subscribeAcked(command, acked)
    const found = await readHistory(this.#options.store, {
      ...command,
      ...(since === undefined && { limit: 1 }),
    })
    return since !== undefined && found.complete
      ? { ...upToLast(found), cursor: undefined, recovered: true }
      : { ...fromNewest(found), cursor: undefined }
  }

  /** What the subscriber did not acknowledge, once more; a publication too often redelivered is buried. */
  async redeliver(command: Of<"redeliver">): Promise<Redelivery | undefined> {
    const { store, onRedelivered } = this.#options
    const { channel, acked } = command
    let cursor = await store.attempted(channel, acked.subscriber)
    if (cursor === undefined) return undefined
    if (cursor.attempts > acked.maxDeliveries) cursor = await this.#bury(command, cursor)
    const since = positionOf(cursor)
    const found = await readHistory(store, { ...command, since })
    if (!found.complete) return { ...(await this.#skipGone(command, acked.subscriber, since)), attempts: 1 }
    onRedelivered(command.namespace)
    return { ...found, cursor: since, attempts: cursor.attempts }
  }

  /** Goes on from the last acknowledgement, wherever that was; a subscriber nobody knows begins at `since`, or now. */
  async #subscribeAcked(command: Of<"subscribe">, { subscriber }: AckedSubscriber): Promise<Subscribed> {
    const { store } = this.#options
    const { channel } = command
    const known = await store.cursor(channel, subscriber)
    const from = known === undefined ? command.since : positionOf(known)
    const found = await readHistory(store, {
      ...command,
      since: from,
      ...(from === undefined && { limit: 1 }),
    })
    if (from === undefined) {
      const cursor = await store.acknowledge(channel, subscriber, found.position)
      return { ...fromNewest(found), cursor: positionOf(cursor) }
    }
    const since = known === undefined ? found.since : await this.#place(command, found.position)
    if (found.complete) {
      const cursor = known ?? (await store.acknowledge(channel, subscriber, from))
      return { ...upToLast({ ...found, since }), cursor: positionOf(cursor), recovered: true }
    }
    const left = await this.#skipGone(command, subscriber, from)
    return { ...upToLast({ ...left, since }), cursor: left.cursor, recovered: false }
  }

  /** Where the client's own position stands in the epoch of `present`, the newest one. */
  async #place(
    { channel, since, retention }: Of<"subscribe">,
    present: Position,
  ): Promise<Position | undefined> {
    if (since === undefined) return undefined
    if (since.epoch === present.epoch) return since.offset <= present.offset ? since : undefined
    const found = await readHistory(this.#options.store, { channel, since, limit: 1, bytes: 0, retention })
    if (found.position.epoch !== present.epoch)
      throw new ChannelStoreError(`resuming ${channel}: it began anew meanwhile`)
    return found.since
  }

  /** What the subscriber was to get next is gone: it goes on with the oldest there is. */
  async #skipGone(
    command: Pick<Of<"subscribe">, "channel" | "namespace" | "limit" | "bytes" | "retention">,
    subscriber: string,
    since: Position,
  ): Promise<Found & { readonly cursor: Position }> {
    const { store, wallClock, onBuried, log } = this.#options
    const { channel, namespace } = command
    const { epoch, offset } = (await readHistory(store, { ...command, since: undefined, limit: 1 })).position
    const start = { epoch, offset: 0 }
    const found = await readHistory(store, { ...command, since: start })
    const first = found.first === 0 ? offset + 1 : found.first
    await store.bury({
      channel,
      subscriber,
      epoch: since.epoch,
      offset: since.offset + 1,
      data: "",
      publisher: undefined,
      reason: "gone",
      at: wallClock(),
    })
    onBuried(namespace, "gone")
    log.warn("realtime.gone", { channel, subscriber, offset: since.offset + 1, next: first })
    const cursor = await store.acknowledge(channel, subscriber, { epoch, offset: first - 1 })
    return { ...found, cursor: positionOf(cursor) }
  }

  /** Puts the first publication that was not acknowledged aside, so that those behind it get their turn. */
  async #bury(command: Of<"redeliver">, { epoch, offset }: Cursor): Promise<Cursor> {
    const { store, wallClock, onBuried, log } = this.#options
    const { channel, acked, namespace, retention } = command
    const { subscriber } = acked
    const { publications } = await store.history(channel, { epoch, offset }, 1, retention)
    const [publication] = publications
    if (publication?.offset === offset + 1) {
      const { data, publisher } = publication
      await store.bury({
        channel,
        subscriber,
        epoch,
        offset: offset + 1,
        data,
        publisher,
        reason: "max_deliveries",
        at: wallClock(),
      })
      onBuried(namespace, "max_deliveries")
      log.warn("realtime.dead_letter", { channel, subscriber, offset: offset + 1 })
    }
    return store.acknowledge(channel, subscriber, { epoch, offset: offset + 1 })
  }
}

export async function readHistory(
  store: ChannelStore,
  { channel, since, limit, bytes = Number.POSITIVE_INFINITY, retention }: Omit<Of<"history">, "do">,
): Promise<Found> {
  const { epoch, offset, publications, complete, known } = await store.history(
    channel,
    since,
    limit,
    retention,
    bytes,
  )
  const given = since === undefined ? newestWithin(publications, bytes) : oldestWithin(publications, bytes)
  return {
    position: { epoch, offset },
    since: since !== undefined && known ? { epoch, offset: since.offset } : undefined,
    first: given[0]?.offset ?? 0,
    publications: given.map(textOf),
    complete,
  }
}

/** Beside its data. */
const PUBLICATION_BYTES = 40

/** At least one, if there are any. */
function oldestWithin(
  publications: readonly StoredPublication[],
  bytes: number,
): readonly StoredPublication[] {
  let left = bytes
  const end = publications.findIndex(({ data }, i) => {
    left -= data.length + PUBLICATION_BYTES
    return left < 0 && i > 0
  })
  return end === -1 ? publications : publications.slice(0, end)
}

const newestWithin = (
  publications: readonly StoredPublication[],
  bytes: number,
): readonly StoredPublication[] => oldestWithin(publications.toReversed(), bytes).toReversed()

export function textOf({ offset, data, publisher }: StoredPublication): PublicationText {
  const from = publisher === undefined ? "" : `,"publisher":${JSON.stringify(publisher)}`
  return `{"offset":${offset},"data":${data}${from}}`
}

const positionOf = ({ epoch, offset }: Position): Position => ({ epoch, offset })

/** Who remembers this position has had all that was given, and skips nothing that was not. */
function upToLast(found: Found): Found & { readonly more: boolean } {
  const { position, first, publications } = found
  const last = first === 0 ? position.offset : first + publications.length - 1
  return { ...found, position: { epoch: position.epoch, offset: last }, more: last < position.offset }
}

/** It begins with what is published next. */
const fromNewest = (found: Found) => ({
  ...found,
  first: 0,
  publications: [],
  recovered: false,
  more: false,
})
