import { type HeadFault, parseResponseHead, type ResponseHead } from "../http1/head.ts"

/** Interim responses (1xx) passed over before the final one. */
const MAX_INTERIM = 16

const HEAD_END = Buffer.from("\r\n\r\n")
const INCOMPLETE: HeadFault = Object.freeze({ kind: "incomplete" })
const UNASKED: HeadFault = Object.freeze({ kind: "bad", reason: "switching protocols unasked" })
const FLOOD: HeadFault = Object.freeze({ kind: "bad", reason: "too many interim responses" })

/** Finds the final response head in what a connection delivers, however it is cut into reads. */
export class HeadReader {
  readonly #maxHeadBytes: number
  #held: Buffer | undefined
  #interim = 0
  /** What the head was found in; its `headEnd` is a position in here. */
  bytes: Buffer = HEAD_END

  /** `maxHeadBytes` bounds each head, interim ones too. */
  constructor(maxHeadBytes: number) {
    this.#maxHeadBytes = maxHeadBytes
  }

  /** Begins a new exchange. */
  reset(): void {
    this.#held = undefined
    this.#interim = 0
  }

  /** Takes the next read. Interim responses are dropped, at most 16; 101 is bad, nobody asked for it. */
  read(bytes: Buffer): ResponseHead | HeadFault {
    const held = this.#held
    if (held !== undefined) {
      bytes = Buffer.concat([held, bytes])
      // Not scanned again before it can be complete: byte by byte that would cost the square of its size.
      if (bytes.length <= this.#maxHeadBytes && bytes.indexOf(HEAD_END, Math.max(0, held.length - 3)) < 0) {
        this.#held = bytes
        return INCOMPLETE
      }
      this.#held = undefined
    }
    for (let at = 0; at < bytes.length; ) {
      const head = parseResponseHead(bytes, this.#maxHeadBytes, at)
      if (head.kind === "incomplete") this.#held = bytes.subarray(at)
      if (head.kind !== "complete") return head
      if (head.status >= 200) {
        this.bytes = bytes
        return head
      }
      if (head.status === 101) return UNASKED
      if (++this.#interim > MAX_INTERIM) return FLOOD
      at = head.headEnd
    }
    return INCOMPLETE
  }
}
