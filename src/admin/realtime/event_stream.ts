import { FedText } from "../../http1/fed_text.ts"
import { FieldList } from "../../http1/field_list.ts"
import type { Failure } from "../../policies/failure.ts"
import type { Answered } from "../../policies/policy.ts"
import type { Subscribed } from "../../realtime/channels/hub_messages.ts"
import { CLOSE_CODES, type CloseCode, mayReconnect } from "../../realtime/channels/protocol.ts"
import { Reader, type Wanted } from "../../realtime/channels/reader.ts"
import type { Realtime } from "../../realtime/channels/realtime.ts"
import type { Exchange } from "../../upstream/exchange.ts"
import { EVENT_STREAM_HEADERS } from "../registry/watch.ts"
import { Places, pushesOf, refusal, wantedOf } from "./reading.ts"

/** A comment is sent when nothing else was for so long: proxies end what is silent. */
const HEARTBEAT_MS = 15_000
const EVENT = /^\{"push":"(\w+)"/

/**
 * `GET …/sse?channel=…`: events as they are published. `Last-Event-ID` (or `last_event_id`) is `epoch:offset`, for
 * several channels one each, with commas, in the order of the query; a channel without one begins now.
 */
export async function answerEvents(exchange: Exchange, realtime: Realtime): Promise<Answered | Failure> {
  const query = new URLSearchParams(exchange.query)
  const since = exchange.header("last-event-id") ?? query.get("last_event_id")
  const wanted = await wantedOf(exchange, query, since, realtime)
  if ("kind" in wanted) return wanted
  const stream = new EventStream(realtime, exchange, wanted)
  const refused = await stream.open()
  if (refused !== undefined) return refused
  const fields = FieldList.of(EVENT_STREAM_HEADERS)
  return { kind: "answer", answer: { status: 200, fields, body: stream.body } }
}

/** One reader of server-sent events. */
class EventStream {
  readonly body: FedText
  readonly #reader: Reader
  readonly #realtime: Realtime
  readonly #exchange: Exchange
  readonly #wanted: readonly Wanted[]
  readonly #places: Places
  #wroteAt: number

  constructor(realtime: Realtime, exchange: Exchange, wanted: readonly Wanted[]) {
    this.#realtime = realtime
    this.#exchange = exchange
    this.#wanted = wanted
    this.#places = new Places(wanted)
    this.#wroteAt = realtime.now()
    this.body = new FedText(realtime.settings.maxBuffered, () => this.#reader.leave(1006))
    this.#reader = new Reader(realtime, exchange.principal, {
      subscribed: (each, answer) => this.#subscribed(each, answer),
      send: (text) => this.#push(text),
      ended: (code) => this.#ended(code),
      read: () => this.body.read(),
      tick: () => {
        if (realtime.now() - this.#wroteAt >= HEARTBEAT_MS) this.#write(": still here\n\n")
      },
    })
  }

  /** Why it does not begin; `undefined`: it has. */
  async open(): Promise<Failure | undefined> {
    this.#write("retry: 1000\n\n")
    const refused = await this.#reader.open(this.#exchange.client, this.#wanted)
    if (refused !== undefined) return refusal(refused)
    // Nobody asks for the body of a client that has left meanwhile.
    if (this.#exchange.gone) this.#reader.leave(1006)
    return undefined
  }

  #subscribed({ channel }: Wanted, answer: Subscribed): void {
    this.#places.start(channel, answer)
    const { recovered, position } = answer
    this.#event("subscribed", JSON.stringify({ channel, recovered, position }))
    for (const text of pushesOf(channel, answer)) this.#push(text)
  }

  #push(text: string): void {
    if (this.#places.read(text)) this.#event(undefined, text)
    else this.#event(EVENT.exec(text)?.[1], text)
  }

  /** `undefined`: a plain message, as readers take publications for. */
  #event(name: string | undefined, data: string): void {
    const event = name === undefined ? "" : `event: ${name}\n`
    this.#write(`${event}id: ${this.#places}\ndata: ${data}\n\n`)
  }

  #write(text: string): void {
    this.#wroteAt = this.#realtime.now()
    if (this.body.write(text)) return
    this.#reader.leave(4001)
    this.body.abort(CLOSE_CODES[4001])
  }

  #ended(code: CloseCode): void {
    const end = { push: "disconnect", code, reason: CLOSE_CODES[code], reconnect: mayReconnect(code) }
    this.#event("disconnect", JSON.stringify(end))
    this.body.end()
  }
}
