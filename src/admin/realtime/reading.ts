import type { Principal } from "../../identity/principal.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import type { Subscribed } from "../../realtime/channels/hub_messages.ts"
import { CLOSE_CODES, type CloseCode, type Position } from "../../realtime/channels/protocol.ts"
import type { Wanted } from "../../realtime/channels/reader.ts"
import type { Realtime } from "../../realtime/channels/realtime.ts"
import type { Exchange } from "../../upstream/exchange.ts"

/** Channels of one request. */
export const MAX_CHANNELS = 32

/** The channels a request asks for, all of which the caller may read; services that decide that are asked together. */
export async function wantedOf(
  exchange: Exchange,
  query: URLSearchParams,
  since: string | null | undefined,
  realtime: Realtime,
): Promise<readonly Wanted[] | Failure> {
  const { settings, sessions } = realtime
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
    const namespace = realtime.namespaces.find(channel)
    if (namespace === undefined)
      return fail("NOT_FOUND", { message: "No namespace of the configuration has such a channel." })
    wanted.push({ channel, namespace, since: positions[i] })
  }
  return (await refusedOf(wanted, principal, realtime)) ?? wanted
}

/** Why the caller may not read all of them; `undefined`: it may. */
async function refusedOf(
  wanted: readonly Wanted[],
  principal: Principal | undefined,
  realtime: Realtime,
): Promise<Failure | undefined> {
  const { call, identity } = realtime
  const decisions = await Promise.all(
    wanted.map(({ namespace, channel }) => namespace.decideSubscribe(principal, channel, call)),
  )
  if (decisions.includes(false)) return fail(principal === undefined ? "AUTH_ERROR" : "FORBIDDEN")
  if (decisions.includes("unavailable"))
    return fail("OVERLOADED", {
      retryAfterS: 1,
      cause: "the service that decides who reads cannot be reached",
    })
  // A service may have taken seconds: by now the token may be revoked, or the configuration be another one.
  if (principal !== undefined && identity.isRevoked(principal)) return fail("AUTH_ERROR")
  const changed = wanted.some(
    ({ namespace, channel }) => realtime.namespaces.find(channel)?.identity !== namespace.identity,
  )
  return changed ? fail("OVERLOADED", { retryAfterS: 1, cause: "the configuration has changed" }) : undefined
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
