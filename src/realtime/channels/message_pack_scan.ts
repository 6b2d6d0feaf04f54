/** Levels of arrays and maps, as in JSON frames. */
const MAX_DEPTH = 32
const MAX_SAFE_HIGH = 0x1f_ffff

/** What comes at the head of a value. */
type Kind = "plain" | "string" | "array" | "map" | "unfit"

interface Head {
  readonly kind: Kind
  /** Bytes of a string; elements of an array; pairs of a map. */
  readonly length: number
  /** Where the next begins: for strings, their bytes. */
  readonly next: number
}

const UNFIT: Head = { kind: "unfit", length: 0, next: 0 }
const plain = (next: number): Head => ({ kind: "plain", length: 0, next })

/**
 * Whether the bytes are one value of MessagePack that JSON can say, and nothing else: no extension, no bytes, no NaN or
 * infinity, no integer a double cannot hold, no key but strings, at most 32 levels. Takes time by the bytes there are,
 * not by the lengths they claim, and memory by the depth.
 */
export function fitsMessagePack(frame: Uint8Array, isUtf8: (bytes: Uint8Array) => boolean): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  /** Values still to come at each level; in maps keys and values, a key when it is even. */
  const left: number[] = []
  const isMap: boolean[] = []
  let at = 0
  do {
    if (at >= frame.length) return false
    const { kind, length, next } = headAt(view, at)
    const level = left.length - 1
    const isKey = level >= 0 && isMap[level]! && left[level]! % 2 === 0
    if (kind === "unfit" || next > frame.length || (isKey && kind !== "string")) return false
    at = next
    if (level >= 0) left[level]!--
    if (kind === "string") {
      at += length
      if (at > frame.length || !isUtf8(frame.subarray(next, at))) return false
    } else if (kind !== "plain") {
      const values = kind === "map" ? 2 * length : length
      // Each takes a byte at least.
      if (values > frame.length - at || left.length >= MAX_DEPTH) return false
      left.push(values)
      isMap.push(kind === "map")
    }
    while (left.at(-1) === 0) {
      left.pop()
      isMap.pop()
    }
  } while (left.length > 0)
  return at === frame.length
}

function headAt(view: DataView, at: number): Head {
  const byte = view.getUint8(at)
  const next = at + 1
  if (byte <= 0x7f || byte >= 0xe0) return plain(next)
  if (byte <= 0x8f) return { kind: "map", length: byte & 0x0f, next }
  if (byte <= 0x9f) return { kind: "array", length: byte & 0x0f, next }
  if (byte <= 0xbf) return { kind: "string", length: byte & 0x1f, next }
  const width = WIDTHS.get(byte)
  if (width === undefined || next + width > view.byteLength) return UNFIT
  const end = next + width
  switch (byte) {
    case 0xca:
      return Number.isFinite(view.getFloat32(next)) ? plain(end) : UNFIT
    case 0xcb:
      return Number.isFinite(view.getFloat64(next)) ? plain(end) : UNFIT
    case 0xcf:
      return view.getUint32(next) <= MAX_SAFE_HIGH ? plain(end) : UNFIT
    case 0xd3: {
      const high = view.getInt32(next)
      return high <= MAX_SAFE_HIGH && high >= -MAX_SAFE_HIGH ? plain(end) : UNFIT
    }
    case 0xd9:
    case 0xda:
    case 0xdb:
      return { kind: "string", length: lengthAt(view, next, width), next: end }
    case 0xdc:
    case 0xdd:
      return { kind: "array", length: lengthAt(view, next, width), next: end }
    case 0xde:
    case 0xdf:
      return { kind: "map", length: lengthAt(view, next, width), next: end }
    default:
      return plain(end)
  }
}

/** Bytes after the first of what is written at its own length; bytes, extensions and 0xc1 are not among them. */
const WIDTHS: ReadonlyMap<number, number> = new Map([
  [0xc0, 0],
  [0xc2, 0],
  [0xc3, 0],
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
  [0xd9, 1],
  [0xda, 2],
  [0xdb, 4],
  [0xdc, 2],
  [0xdd, 4],
  [0xde, 2],
  [0xdf, 4],
])

function lengthAt(view: DataView, at: number, width: number): number {
  if (width === 1) return view.getUint8(at)
  return width === 2 ? view.getUint16(at) : view.getUint32(at)
}
