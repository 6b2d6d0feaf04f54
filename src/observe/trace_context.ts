import { HEX_PAIRS } from "../lib/hex_pairs.ts"

/** What a valid `traceparent` says (W3C Trace Context, level 2). */
export interface TraceParent {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hex digits, not all zero. */
  readonly parentId: string
  /** The sampled and random bits; others are of no known meaning and go no further. */
  readonly flags: number
}

// No groups: cutting by position costs half as much, and every field has its place.
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/
const LENGTH = 55
const NO_TRACE = "0".repeat(32)
const NO_PARENT = "0".repeat(16)
const KNOWN_FLAGS = 0b11

const MAX_TRACESTATE_MEMBERS = 32
const TRACESTATE_MEMBER =
  /^[ \t]*(?:[a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256}[ \t]*$/

/** The header's meaning; `undefined` when it is malformed, sent twice, all zero or of version ff. */
export function parseTraceparent(value: string): TraceParent | undefined {
  if (!TRACEPARENT.test(value) || value.startsWith("ff")) return undefined
  // A later version may add fields after the flags; version 00 may not.
  if (value.length > LENGTH && value.startsWith("00")) return undefined
  const traceId = value.slice(3, 35)
  const parentId = value.slice(36, 52)
  if (traceId === NO_TRACE || parentId === NO_PARENT) return undefined
  return { traceId, parentId, flags: Number.parseInt(value.slice(53, LENGTH), 16) & KNOWN_FLAGS }
}

/** Whether `tracestate` may be passed on: at most 512 characters, 32 members, each well formed. */
export function isTracestate(value: string): boolean {
  if (value.length > 512) return false
  const members = value.split(",").filter((member) => member.trim() !== "")
  return members.length <= MAX_TRACESTATE_MEMBERS && members.every((member) => TRACESTATE_MEMBER.test(member))
}

/** Limits every party must at least pass on (W3C Baggage section 3.3.2); we pass on no more. */
const MAX_BAGGAGE_BYTES = 8192
const MAX_BAGGAGE_MEMBERS = 64

/** The leading whole members of `baggage` that fit 64 members and 8,192 bytes; "" when none does. */
export function boundBaggage(value: string): string {
  let end = 0
  for (let members = 0; members < MAX_BAGGAGE_MEMBERS; members++) {
    const comma = value.indexOf(",", end === 0 ? 0 : end + 1)
    const next = comma < 0 ? value.length : comma
    if (next > MAX_BAGGAGE_BYTES) break
    end = next
    if (comma < 0) break
  }
  return end === value.length ? value : value.slice(0, end)
}

/** 8 hex digits from a uniform number in [0, 1). */
function word(random: () => number): string {
  const bits = (random() * 0x1_0000_0000) >>> 0
  return (
    HEX_PAIRS[bits >>> 24]! +
    HEX_PAIRS[(bits >>> 16) & 255]! +
    HEX_PAIRS[(bits >>> 8) & 255]! +
    HEX_PAIRS[bits & 255]!
  )
}

/** A new trace id: 32 hex digits, never all zero. `random`: uniform in [0, 1). */
export function newTraceId(random: () => number): string {
  const id = word(random) + word(random) + word(random) + word(random)
  return id === NO_TRACE ? `${NO_TRACE.slice(1)}1` : id
}

/** A new span id: 16 hex digits, never all zero. `random`: uniform in [0, 1). */
export function newSpanId(random: () => number): string {
  const id = word(random) + word(random)
  return id === NO_PARENT ? `${NO_PARENT.slice(1)}1` : id
}
