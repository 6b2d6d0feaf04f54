import { isSendable } from "./close_code.ts"
import { FIN, MASK, MAX_CONTROL_BYTES, OPCODE } from "./frame.ts"
import { checkText, NOT_UTF8, TEXT_START, turnKey } from "./utf8_stream.ts"

/** Codes to close with where a scan finds what must not be (RFC 6455 section 7.4.1); 0: nothing. */
export const SCAN = { FINE: 0, PROTOCOL_ERROR: 1002, INVALID_TEXT: 1007, TOO_BIG: 1009 } as const
export type ScanFault = (typeof SCAN)[keyof typeof SCAN]

/** What the scan of one end's frames tells. */
export interface FrameSink {
  /** These may go on to the other end: whole frames, or parts of large ones. Called before what follows them is told. */
  pass(bytes: Buffer, start: number, end: number): void
  /** The last frame of a message came, so many bytes of payload in all. It is passed on next. */
  messageEnded(bytes: number): void
  /** A pong without payload; true: it is for the gateway, and not to go on. */
  ponged(): boolean
  /** The last part of a large frame was passed; asked for by `tellFrameEnd`. */
  frameEnded(): void
  /** A close frame was passed. Nothing that follows it is looked at. */
  closing(): void
}

/** Of the frame whose head was read last. Not a field: it does not outlive a scan, and thousands of scanners are idle. */
let payloadBytes = 0

/** A frame with no more payload goes on only when it is whole: so it can be judged before anybody sees a part of it. */
const WHOLE_BYTES = 4096

const RSV = 0x70
const LENGTH = 0x7f
const WRONG = -SCAN.PROTOCOL_ERROR

/**
 * Follows the frames one end sends, however they are cut into reads, and holds them to RFC 6455: reserved bits,
 * opcodes, masking, control frames, fragments, UTF-8 of texts, codes of closes. They go on as they came. What is not
 * complete of a frame up to 4 KB waits here; larger ones go on as they come, so an invalid text may show only when the
 * beginning of its frame is gone.
 */
export class FrameScanner {
  readonly #masked: boolean
  readonly #maxMessageBytes: number
  readonly #sink: FrameSink
  /** Beginning of a frame that goes on whole. */
  #held: Buffer | undefined
  /** Opcode of the message under way; 0: none is. */
  #opcode = 0
  /** Of its payload, frames begun included. */
  #messageBytes = 0
  #text = TEXT_START
  /** Payload to come of a frame that goes on as it comes. */
  #left = 0
  #final = false
  /** Of the bytes to come of it. */
  #key = 0
  #over = false
  /** Whether the end of a large frame is to be told, once. */
  tellFrameEnd = false

  /** `masked`: whether frames must be (clients' are) or must not. `maxMessageBytes`: beyond it a message is too big. */
  constructor(masked: boolean, maxMessageBytes: number, sink: FrameSink) {
    this.#masked = masked
    this.#maxMessageBytes = maxMessageBytes
    this.#sink = sink
  }

  /** Part of a frame was passed and the rest was not: nothing else may be put between. */
  get inside(): boolean {
    return this.#left > 0
  }

  /** After a fault or a close frame nothing is looked at any more. */
  get over(): boolean {
    return this.#over
  }

  /**
   * Takes the next read, which must stay as it is. Frames before one that must not be are passed, of that one nothing
   * but what was passed before.
   */
  read(received: Buffer): ScanFault {
    if (this.#over) return SCAN.FINE
    const bytes = this.#held === undefined ? received : Buffer.concat([this.#held, received])
    this.#held = undefined
    const length = bytes.length
    /** What is not passed yet begins here. */
    let run = 0
    let at = 0
    while (at < length && !this.#over) {
      if (this.#left > 0) {
        const end = Math.min(length, at + this.#left)
        if (!this.#takePart(bytes, at, end)) return this.#fault(SCAN.INVALID_TEXT)
        at = end
        if (this.#left > 0 || !this.tellFrameEnd) continue
        this.tellFrameEnd = false
        this.#sink.pass(bytes, run, at)
        run = at
        this.#sink.frameEnded()
        continue
      }
      const head = this.#headEnd(bytes, at)
      if (head < 0) return this.#faultAt(-head as ScanFault, bytes, run, at)
      const end = head + payloadBytes
      if (head === 0 || (end > length && payloadBytes <= WHOLE_BYTES)) break
      if (bytes[at]! === (FIN | OPCODE.PONG) && end === head && this.#sink.ponged()) {
        if (at > run) this.#sink.pass(bytes, run, at)
        run = end
      } else if (end > length) {
        const fault = this.#beginLarge(bytes, at, head)
        if (fault) return this.#faultAt(SCAN.INVALID_TEXT, bytes, run, at)
        at = length
        break
      } else {
        const fault = this.#takeFrame(bytes, at, head, end)
        if (fault !== SCAN.FINE) return this.#faultAt(fault, bytes, run, at)
      }
      at = end
    }
    if (at > run) this.#sink.pass(bytes, run, at)
    if (this.#over) this.#sink.closing()
    // A copy: a view would keep all that came with it.
    else if (at < length) this.#held = Buffer.from(bytes.subarray(at))
    return SCAN.FINE
  }

  /** Where the payload begins of the frame at `at`; 0: its head is not complete; below: the code of what is wrong. */
  #headEnd(bytes: Buffer, at: number): number {
    const first = bytes[at]!
    const opcode = first & 0x0f
    const control = opcode >= OPCODE.CLOSE
    if ((first & RSV) !== 0 || opcode > OPCODE.PONG || (opcode > OPCODE.BINARY && !control)) return WRONG
    if (control) {
      if ((first & FIN) === 0) return WRONG
    } else if ((opcode === OPCODE.CONTINUATION) === (this.#opcode === 0)) return WRONG
    if (at + 1 === bytes.length) return 0
    const second = bytes[at + 1]!
    if (((second & MASK) !== 0) !== this.#masked) return WRONG
    let payload = second & LENGTH
    let end = at + 2
    if (payload > MAX_CONTROL_BYTES) {
      if (control) return WRONG
      end += payload === LENGTH ? 8 : 2
      if (end > bytes.length) return 0
      if (payload === LENGTH) {
        const high = bytes.readUInt32BE(at + 2)
        if (high >= 0x80000000) return WRONG
        payload = high * 0x100000000 + bytes.readUInt32BE(at + 6)
      } else payload = bytes.readUInt16BE(at + 2)
    }
    if (!control && this.#messageBytes + payload > this.#maxMessageBytes) return -SCAN.TOO_BIG
    if (this.#masked) end += 4
    payloadBytes = payload
    return end > bytes.length ? 0 : end
  }

  /** A frame that is whole. */
  #takeFrame(bytes: Buffer, at: number, head: number, end: number): ScanFault {
    const opcode = bytes[at]! & 0x0f
    if (opcode >= OPCODE.CLOSE) {
      if (opcode !== OPCODE.CLOSE) return SCAN.FINE
      const fault = this.#checkClose(bytes, head, end)
      this.#over = true
      return fault
    }
    this.#beginData(bytes, at, head)
    return this.#takeData(bytes, head, end) ? SCAN.FINE : SCAN.INVALID_TEXT
  }

  /** A large frame of which the first bytes are here; true: its text is none. */
  #beginLarge(bytes: Buffer, at: number, head: number): boolean {
    this.#beginData(bytes, at, head)
    const length = bytes.length
    if (!this.#takeData(bytes, head, length, false)) return true
    this.#left = payloadBytes - (length - head)
    this.#key = turnKey(this.#key, length - head)
    return false
  }

  #beginData(bytes: Buffer, at: number, head: number): void {
    const first = bytes[at]!
    const opcode = first & 0x0f
    this.#final = (first & FIN) !== 0
    if (opcode !== OPCODE.CONTINUATION) {
      this.#opcode = opcode
      this.#text = TEXT_START
    }
    this.#messageBytes += payloadBytes
    this.#key = this.#masked ? bytes.readInt32LE(head - 4) : 0
  }

  /** More of a large frame; false: its text is none. */
  #takePart(bytes: Buffer, start: number, end: number): boolean {
    const last = end - start === this.#left
    if (!this.#takeData(bytes, start, end, last)) return false
    this.#left -= end - start
    this.#key = turnKey(this.#key, end - start)
    return true
  }

  /** Payload of a data frame, `last`: to its end. False: a text that is none. */
  #takeData(bytes: Buffer, start: number, end: number, last = true): boolean {
    const final = last && this.#final
    if (this.#opcode === OPCODE.TEXT) {
      this.#text = checkText(bytes, start, end, this.#key, this.#text)
      if (this.#text === NOT_UTF8 || (final && this.#text !== TEXT_START)) return false
    }
    if (final) {
      this.#sink.messageEnded(this.#messageBytes)
      this.#opcode = this.#messageBytes = 0
    }
    return true
  }

  /** RFC 6455 section 5.5.1: nothing, or a code that may be sent and a reason. */
  #checkClose(bytes: Buffer, start: number, end: number): ScanFault {
    if (start === end) return SCAN.FINE
    if (end - start === 1) return SCAN.PROTOCOL_ERROR
    const key = this.#masked ? bytes.readInt32LE(start - 4) : 0
    const code = ((bytes[start]! << 8) | bytes[start + 1]!) ^ (((key & 0xff) << 8) | ((key >>> 8) & 0xff))
    if (!isSendable(code)) return SCAN.PROTOCOL_ERROR
    const state = checkText(bytes, start + 2, end, turnKey(key, 2), TEXT_START)
    return state === TEXT_START ? SCAN.FINE : SCAN.INVALID_TEXT
  }

  #faultAt(fault: ScanFault, bytes: Buffer, run: number, at: number): ScanFault {
    if (at > run) this.#sink.pass(bytes, run, at)
    return this.#fault(fault)
  }

  #fault(fault: ScanFault): ScanFault {
    this.#over = true
    return fault
  }
}
