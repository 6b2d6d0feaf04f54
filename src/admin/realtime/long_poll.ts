import { FieldList } from "../../http1/field_list.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import type { Answered } from "../../policies/policy.ts"
import { type CloseCode, mayReconnect } from "../../realtime/channels/protocol.ts"
import { Reader } from "../../realtime/channels/reader.ts"
import type { Realtime } from "../../realtime/channels/realtime.ts"
import type { Exchange } from "../../upstream/exchange.ts"
import { Places, pushesOf, refusal, wantedOf } from "./reading.ts"

export const DEFAULT_WAIT_S = "25"
export const MAX_WAIT_S = 60
/** Characters of one answer, after which the rest is left for the next. */
const MAX_POLLED = 1024 * 1024
/** What such a push begins with; the gateway writes it. */
const SAFETY = '{"push":"safety",'
const FIELDS = new FieldList(["content-type", "application/json", "cache-control", "no-store"])

/**
 * `GET …/poll?channel=…&since=…&wait=…`: what was published after `since` (as `Last-Event-ID` of the event stream), at
 * once if there is something, else when there is, or after `wait` seconds (25; 0 to 60) with nothing. Without `since`
 * it tells where to begin; `lost` names channels that cannot be had from where they should begin. A safety event ends it
 * at once, and comes in `safety`.
 */
export async function answerPoll(exchange: Exchange, realtime: Realtime): Promise<Answered | Failure> {
  const query = new URLSearchParams(exchange.query)
  const waitS = Number(query.get("wait") ?? DEFAULT_WAIT_S)
  if (!(waitS >= 0 && waitS <= MAX_WAIT_S))
    return fail("INVALID_REQUEST", { message: `wait must be from 0 to ${MAX_WAIT_S} seconds.` })
  const wanted = await wantedOf(exchange, query, query.get("since"), realtime)
  if ("kind" in wanted) return wanted
  const places = new Places(wanted)
  const until = realtime.now() + waitS * 1000
  const found: string[] = []
  const lost: string[] = []
  const safety: string[] = []
  let characters = 0
  const { promise, resolve } = Promise.withResolvers<CloseCode | undefined>()
  const take = (text: string): void => {
    if (text.startsWith(SAFETY)) {
      safety.push(text)
      resolve(undefined)
      return
    }
    if (characters > MAX_POLLED || !places.read(text)) return
    characters += text.length
    found.push(text)
    resolve(undefined)
  }
  const reader = new Reader(realtime, exchange.principal, {
    subscribed({ channel, since }, answer) {
      places.start(channel, answer)
      for (const text of pushesOf(channel, answer)) take(text)
      if (since !== undefined && !answer.recovered) lost.push(channel)
      if (since === undefined || !answer.recovered) resolve(undefined)
    },
    send: take,
    ended: resolve,
    tick() {
      if (realtime.now() >= until) resolve(undefined)
    },
  })
  exchange.pending = { cancel: () => resolve(undefined) }
  const refused = await reader.open(exchange.client, wanted)
  if (refused !== undefined) return refusal(refused)
  if (waitS === 0 || exchange.gone) resolve(undefined)
  const ended = await promise
  exchange.pending = undefined
  reader.leave(1000)
  if (ended !== undefined && !mayReconnect(ended)) return fail("AUTH_ERROR")
  const alarms = safety.length === 0 ? "" : `,"safety":[${safety.join(",")}]`
  const text = `{"since":"${places}","lost":${JSON.stringify(lost)},"publications":[${found.join(",")}]${alarms}}`
  return { kind: "answer", answer: { status: 200, fields: FIELDS, body: Buffer.from(text) } }
}
