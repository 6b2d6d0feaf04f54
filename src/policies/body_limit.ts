import { type Body, type BodySink, type BodySource, bodyLength } from "../http1/body.ts"
import { Type } from "../lib/type.ts"
import { Size } from "../lib/units.ts"
import { fail } from "./failure.ts"
import { definePolicy } from "./policy.ts"

/**
 * A body of unknown length that may not go over a limit. At the limit the message is broken off for the
 * receiver, and the sender is no longer read: its connection is left to the door, which has yet to answer.
 */
class LimitedSource implements BodySource {
  readonly length = undefined
  readonly maxBytes: number
  readonly #source: BodySource
  readonly #onTooLarge: () => void
  #bytes = 0
  #broken = false

  constructor(source: BodySource, maxBytes: number, onTooLarge: () => void) {
    this.#source = source
    this.maxBytes = maxBytes
    this.#onTooLarge = onTooLarge
  }

  flow(sink: BodySink): void {
    this.#source.flow({
      write: (chunk) => this.#broken || this.#pass(chunk, sink),
      end: () => {
        if (!this.#broken) sink.end()
      },
      abort: (reason) => {
        if (!this.#broken) sink.abort(reason)
      },
    })
  }

  #pass(chunk: Uint8Array, sink: BodySink): boolean {
    this.#bytes += chunk.byteLength
    if (this.#bytes <= this.maxBytes) return sink.write(chunk)
    this.#broken = true
    // The flag first: whoever handles the break asks why it happened.
    this.#onTooLarge()
    sink.abort(`the request body is larger than ${this.maxBytes} bytes`)
    return false
  }

  resume(): void {
    if (!this.#broken) this.#source.resume()
  }

  cancel(): void {
    this.#source.cancel()
  }
}

/**
 * The body, broken off once more than `maxBytes` have come. `onTooLarge` is called at most once, before the
 * receiver sees the break. A body whose declared length is over the limit flows not at all: `onTooLarge` is
 * called at once and `undefined` returned. One whose length is known and small enough is returned as it is,
 * as the door holds it to its length.
 */
export function limitBody(body: Body, maxBytes: number, onTooLarge: () => void): Body {
  const length = bodyLength(body)
  if (length !== undefined) {
    if (length <= maxBytes) return body
    onTooLarge()
    return undefined
  }
  if (body instanceof LimitedSource && body.maxBytes <= maxBytes) return body
  return new LimitedSource(body as BodySource, maxBytes, onTooLarge)
}

/** The limit in bytes a body was given by `limitBody`; `undefined` when it flows without one. */
export function limitOf(body: Body): number | undefined {
  return body instanceof LimitedSource ? body.maxBytes : undefined
}

export const bodyLimit = definePolicy({
  name: "body_limit",
  doc: "Refuses request bodies over a size, before they are read where the length is declared (413).",
  failsClosed: true,
  schema: Type.Object(
    { max: Size({ default: "10MB", description: "Largest request body of the route." }) },
    { additionalProperties: false },
  ),
  compile({ max }) {
    const refusal = fail("PAYLOAD_TOO_LARGE", { details: { limit: max } })
    return {
      request(exchange) {
        const { body } = exchange
        if (body === undefined) return undefined
        const length = bodyLength(body)
        if (length !== undefined) return length > max ? refusal : undefined
        exchange.body = limitBody(body, max, () => {
          exchange.uploadFault = "PAYLOAD_TOO_LARGE"
        })
        return undefined
      },
    }
  },
})
