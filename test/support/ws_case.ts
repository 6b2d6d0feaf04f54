/** One frame as it is written, right or wrong. The payload is `b64`, or `fill` repeated up to `size` bytes. */
export interface FrameSpec {
  readonly op: number
  /** Default true. */
  readonly fin?: boolean
  /** The three reserved bits, RSV1 = 4. */
  readonly rsv?: number
  readonly b64?: string
  readonly fill?: string
  readonly size?: number
  /** Default: as the role of the sender asks for. */
  readonly masked?: boolean
  /** The length the head claims, if it is not the payload's. */
  readonly claims?: number
}

/** A message as the other implementation frames it; compressed if that was agreed in the handshake. */
export interface SaySpec {
  readonly b64: string
  readonly binary?: boolean
  /** Bytes a frame; undefined: one frame. */
  readonly fragment?: number
}

export type Step =
  /** All in one write; `sync`: a write a frame; `chop`: a write each so many bytes. */
  | { readonly frames: readonly FrameSpec[]; readonly sync?: true; readonly chop?: number }
  /** One frame in writes that end at these places of its payload, milliseconds apart. */
  | { readonly frames: readonly FrameSpec[]; readonly cuts: readonly number[]; readonly pause: number }
  | { readonly say: SaySpec }
  /** Goes on when so many have come in all, or the connection is over. */
  | { readonly await: { readonly messages?: number; readonly pongs?: number } }

export interface ExpectedEnd {
  /** Messages in order, as `told` shows them. */
  readonly messages: readonly string[]
  /** Payloads, hexadecimal. */
  readonly pongs: readonly string[]
  /** Codes of the close frame the other end may send. */
  readonly close: readonly number[]
}

export interface WsCase {
  /** Autobahn's number, so that its documentation tells more. */
  readonly id: string
  readonly does: string
  readonly steps: readonly Step[]
  /** "close": then closes with 1000. "end": waits for the other end to close. */
  readonly finish: "close" | "end"
  /** Offers of permessage-deflate, as the other implementation names them. */
  readonly offers?: readonly Readonly<Record<string, unknown>>[]
  readonly expected: ExpectedEnd
  /** What came right before the violation or the close, in one write with it, may stay unanswered. */
  readonly loose?: true
}

/** What came of one case, as the script tells it. */
export interface Transcript {
  readonly messages: readonly string[]
  readonly pongs: readonly string[]
  readonly pings: readonly string[]
  /** Code and reason of the close frame that came; 1005: it had no code. */
  readonly close: readonly [code: number, reason: string] | null
  /** "timeout": the connection was still open after 20 s. */
  readonly end: "closed" | "timeout"
  /** What was wrong with the frames that came. */
  readonly violation: string | null
  /** Looks at the connection, between the pieces of a frame, that found it open. */
  readonly survived: number
  readonly extensions: readonly string[]
}

export const OP = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 } as const

export const b64 = (bytes: Uint8Array | string): string => Buffer.from(bytes as Uint8Array).toString("base64")

/** A frame with this payload. */
export function spec(
  op: number,
  payload: Uint8Array | string = "",
  more: Partial<FrameSpec> = {},
): FrameSpec {
  return { op, b64: b64(payload), ...more }
}

/** A message cut into frames of so many bytes. */
export function fragments(op: number, payload: Uint8Array | string, size: number): FrameSpec[] {
  const bytes = Buffer.from(payload as Uint8Array)
  const frames: FrameSpec[] = []
  for (let at = 0; at === 0 || at < bytes.length; at += size)
    frames.push(
      spec(at === 0 ? op : OP.CONTINUATION, bytes.subarray(at, at + size), {
        fin: at + size >= bytes.length,
      }),
    )
  return frames
}

/** Payload of a close frame. */
export function closing(code: number, reason: Uint8Array | string = ""): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(code)
  return Buffer.concat([head, Buffer.from(reason as Uint8Array)])
}

/** Messages longer than this are told by their hash. */
const LONG_BYTES = 200

/** A message as transcripts show it. */
export function told(payload: Uint8Array | string, binary = false): string {
  const bytes = Buffer.from(payload as Uint8Array)
  const hash = (): string => new Bun.CryptoHasher("sha256").update(bytes).digest("hex").slice(0, 16)
  const text = binary ? bytes.toString("hex") : bytes.toString()
  return `${binary ? "binary" : "text"}: ${bytes.length > LONG_BYTES ? `${bytes.length} bytes, ${hash()}` : text}`
}

export const hex = (text: Uint8Array | string): string => Buffer.from(text as Uint8Array).toString("hex")

/** A case that ends well: all is answered, and the close. */
export function fine(
  id: string,
  does: string,
  steps: readonly Step[],
  messages: readonly string[],
  pongs: readonly string[] = [],
): WsCase {
  const all = { await: { messages: messages.length, pongs: pongs.length } }
  return { id, does, steps: [...steps, all], finish: "close", expected: { messages, pongs, close: [1000] } }
}

/** A case that the other end must fail with one of these codes (RFC 6455 section 7.1.7). */
export function fatal(
  id: string,
  does: string,
  steps: readonly Step[],
  codes: readonly number[] = [1002],
  messages: readonly string[] = [],
): WsCase {
  return {
    id,
    does,
    steps,
    finish: "end",
    expected: { messages, pongs: [], close: codes },
    ...(messages.length > 0 && { loose: true as const }),
  }
}
