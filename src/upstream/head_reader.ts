import { bad, type HeadFault, INCOMPLETE, parseResponseHead, type ResponseHead } from "../http1/head.ts"
import { HeldHead } from "../http1/held_head.ts"

/** Interim responses (1xx) passed over before the final one. */
const MAX_INTERIM = 16

const UNASKED = bad("switching protocols unasked")
const FLOOD = bad("too many interim responses")
const NOTHING = Buffer.alloc(0)

/** Finds the final response head in what a connection delivers, however it is cut into reads. */
export class HeadReader {
  readonly #maxHeadBytes: number
  readonly #interims: { interim(head: ResponseHead): void } | undefined
  readonly #held = new HeldHead()
  #interim = 0
  #upgrades = false
  /** What the head was found in; its `headEnd` is a position in here. */
  bytes: Buffer = NOTHING

  /** `maxHeadBytes` bounds each head, interim ones too. `interims` is told of those; `undefined`: nobody is. */
  constructor(maxHeadBytes: number, interims?: { interim(head: ResponseHead): void }) {
    this.#maxHeadBytes = maxHeadBytes
    this.#interims = interims
  }

  /** Begins a new exchange. `upgrades`: 101 is an answer to it. */
  reset(upgrades = false): void {
    this.#upgrades = upgrades
    this.#held.drop()
    this.#interim = 0
  }

  /** Takes the next read. Interim responses are passed over, at most 16; 101 is bad where nobody asked for it. */
  read(received: Buffer): ResponseHead | HeadFault {
    const bytes = this.#held.join(received, this.#maxHeadBytes)
    if (bytes === undefined) return INCOMPLETE
    for (let at = 0; at < bytes.length; ) {
      const head = parseResponseHead(bytes, this.#maxHeadBytes, at)
      if (head.kind === "incomplete") this.#held.keep(bytes, at)
      if (head.kind !== "complete") return head
      if (head.status >= 200 || (head.status === 101 && this.#upgrades)) {
        this.bytes = bytes
        return head
      }
      if (head.status === 101) return UNASKED
      if (++this.#interim > MAX_INTERIM) return FLOOD
      this.#interims?.interim(head)
      at = head.headEnd
    }
    return INCOMPLETE
  }
}
