import { FedBody, type Feed } from "../../http1/fed_body.ts"
import type { BodyDecoder } from "../../http1/framing.ts"
import { takeOut } from "../../lib/take_out.ts"
import type { Exchange } from "../../upstream/exchange.ts"
import { GRACE_MS, type UploadLimits } from "../upload.ts"

/** A request body that is still coming in. */
export class Incoming {
  /** What the exchange reads. */
  readonly body: FedBody
  readonly #decoder: BodyDecoder
  /** Bytes of the whole body; infinite when the client has not said how many. */
  readonly #length: number
  #received = 0
  #exchange: Exchange | undefined
  readonly #startedAt: number
  /** When `tooSlow` last looked, how much had come by then, and since when no more has. */
  #lookedAt: number
  #seen = 0
  #quietSince: number
  /** Time in which the service, not the client, held the body up. */
  #heldMs = 0

  constructor(feed: Feed, decoder: BodyDecoder, length: number | undefined, at: number) {
    this.body = new FedBody(feed, length)
    this.#decoder = decoder
    this.#length = length ?? Number.POSITIVE_INFINITY
    this.#startedAt = this.#lookedAt = this.#quietSince = at
  }

  /** All of it is here. */
  get complete(): boolean {
    return this.#decoder.done
  }

  /** Whether a byte of it has come. */
  get begun(): boolean {
    return this.#received > 0
  }

  /** Bytes the client may still send; infinite when it has not said how many. */
  get left(): number {
    return this.#decoder.done ? 0 : this.#length - this.#received
  }

  /** The exchange that has it; what came along with the head was found by the decoder already. */
  begin(exchange: Exchange, bytes: Buffer): void {
    this.#exchange = exchange
    this.#pass(bytes)
  }

  /**
   * The next read. Returns the position after the last byte of the body, or -1 when the framing is broken, which the
   * body's reader is told. `kept`: false when nobody wants it any more, and it is thrown away.
   */
  read(bytes: Buffer, kept: boolean): number {
    const end = this.#decoder.decode(bytes, 0)
    if (end < 0) {
      if (kept) {
        if (this.#exchange !== undefined) this.#exchange.uploadFault = "INVALID_REQUEST"
        this.body.breakOff("chunked framing broken")
      }
      return end
    }
    if (kept) this.#pass(bytes)
    else this.#received += this.#decoder.end - this.#decoder.start
    if (kept && this.#decoder.done) this.body.complete()
    return end
  }

  /** Whether the client is below what `limits` ask for, as far as looks at it now and then can tell. */
  tooSlow({ silenceMs, minBytesPerSecond }: UploadLimits, at: number): boolean {
    const received = this.#received
    if (this.body.full) this.#heldMs += at - this.#lookedAt
    if (this.body.full || received > this.#seen) this.#quietSince = at
    this.#lookedAt = at
    this.#seen = received
    if (silenceMs > 0 && at - this.#quietSince > silenceMs) return true
    const activeMs = at - this.#startedAt - this.#heldMs
    return minBytesPerSecond > 0 && activeMs >= GRACE_MS && (received * 1000) / activeMs < minBytesPerSecond
  }

  #pass(bytes: Buffer): void {
    const { start, end } = this.#decoder
    if (end === start) return
    this.#received += end - start
    if (this.#exchange !== undefined) this.#exchange.bytesIn += end - start
    this.body.push(end - start === bytes.length ? bytes : takeOut(bytes, start, end))
  }
}
