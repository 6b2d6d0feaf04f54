/** Opcodes (RFC 6455 section 5.2). */
export const OPCODE = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 } as const

export const FIN = 0x80
export const MASK = 0x80

/** Most bytes of a control frame's payload (RFC 6455 section 5.5). */
export const MAX_CONTROL_BYTES = 125

/** A ping without payload, for a client and for a service. Nothing is masked by its key. */
const PING = Buffer.from([FIN | OPCODE.PING, 0])
const MASKED_PING = Buffer.from([FIN | OPCODE.PING, MASK, 0, 0, 0, 0])

/** `masked`: as clients send it. Must not be changed. */
export const pingFrame = (masked: boolean): Buffer => (masked ? MASKED_PING : PING)

/**
 * A close frame; `masked`: as clients send it. `reason`: at most 123 bytes of ASCII, the gateway's own words, so its
 * key need not be one that nobody can foresee (RFC 6455 section 10.3).
 */
export function closeFrame(code: number, reason: string, masked: boolean): Buffer {
  const at = masked ? 6 : 2
  const frame = Buffer.alloc(at + 2 + reason.length)
  frame[0] = FIN | OPCODE.CLOSE
  frame[1] = (masked ? MASK : 0) | (2 + reason.length)
  frame.writeUInt16BE(code, at)
  frame.latin1Write(reason, at + 2)
  return frame
}
