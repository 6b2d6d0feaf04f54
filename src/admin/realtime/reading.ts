import { type Failure, fail } from "../../policies/failure.ts"
import type { Subscribed } from "../../realtime/channels/hub_messages.ts"
import { CLOSE_CODES, type CloseCode, type Position } from "../../realtime/channels/protocol.ts"
import type { Wanted } from "../../realtime/channels/reader.ts"
import type { Realtime } from "../../realtime/channels/realtime.ts"
import type { Exchange } from "../../upstream/exchange.ts"

/** Channels of one request. */
const MAX_CHANNELS = 32

/** The channels a request asks for, all of which the caller may read. */
export function wantedOf(
  exchange: Exchange,
  query: URLSearchParams,
  since: string | null | undefined,
  { namespaces, settings, sessions }: Realtime,
): readonly Wanted[] | Failure {
  const { principal } = exchange
  if (principal === undefined && !settings.anonymous) return fail("AUTH_ERROR")
  const names = [...new Set(query.getAll("channel"))]
  if (names.length === 0 || names.length > MAX_CHANNELS)
    return fail("INVALID_REQUEST", { message: `channel must be given, up to ${MAX_CHANNELS} times.` })
  const positions = parsePositions(since ?? "")
  if (positions === undefined)
    return fail("INVALID_REQUEST", {
      message: "A position must be epoch:offset, with commas between several.",
    })
  if (sessions.size >= settings.limits.max) return fail("OVERLOADED", { retryAfterS: 1 })
  const wanted: Wanted[] = []
  for (const [i, channel] of names.entries()) {
    const namespace = namespaces.find(channel)
    if (namespace === undefined)
      return fail("NOT_FOUND", { message: "No namespace of the configuration has such a channel." })
    if (!namespace.maySubscribe(principal, channel))
      return fail(principal === undefined ? "AUTH_ERROR" : "FORBIDDEN")
    wanted.push({ channel, namespace, since: positions[i] })
  }
  return wanted
}

/** As `Places` writes them; `undefined`: it is no such text. */
function parsePositions(text: string): readonly (Position | undefined)[] | undefined {
  if (text === "") return []
  const positions: (Position | undefined)[] = []
  for (const part of text.split(",")) {
    const found = /^([A-Za-z0-9_.-]{1,64}):(\d{1,15})$/.exec(part)
    if (found === null && part !== "") return undefined
    positions.push(found === null ? undefined : { epoch: found[1]!, offset: Number(found[2]) })
  }
  return positions.length > MAX_CHANNELS ? undefined : positions
}

/** What a reader that was not let in is told. */
export function refusal(code: CloseCode): Failure {
  if (code === 4504)
    return fail("RATE_LIMITED", { message: "There are too many connections.", retryAfterS: 5 })
  return fail("OVERLOADED", { retryAfterS: 1, cause: CLOSE_CODES[code] })
}

/** Of a push of the gateway's own making: a channel's name holds nothing that JSON writes otherwise. */
const PUBLICATION = /^\{"push":"publication","channel":"([^"]+)",(?:"attempt":\d+,)?"offset":(\d+)/

/** Where a reader is in each of its channels. */
export class Places {
  readonly #places = new Map<string, { epoch: string; offset: number } | undefined>()

  constructor(wanted: readonly Wanted[]) {
    for (const { channel, since } of wanted) this.#places.set(channel, since && { ...since })
  }

  /** The channel is read from here on, by what the answer holds and what comes after it. */
  start(channel: string, { position: { epoch, offset }, first }: Subscribed): void {
    this.#places.set(channel, { epoch, offset: first === 0 ? offset : first - 1 })
  }

  /** A publication was read; `false`: the push is none. */
  read(text: string): boolean {
    const found = PUBLICATION.exec(text)
    if (found === null) return false
    const place = this.#places.get(found[1]!)
    if (place !== undefined) place.offset = Number(found[2])
    return true
  }

  /** As `Last-Event-ID` has it. */
  toString(): string {
    return [...this.#places.values()]
      .map((place) => (place ? `${place.epoch}:${place.offset}` : ""))
      .join(",")
  }
}

/** What came with the answer, as it would have been pushed. */
export const pushesOf = (channel: string, { publications }: Subscribed): readonly string[] =>
  publications.map((text) => `{"push":"publication","channel":${JSON.stringify(channel)},${text.slice(1)}`)
