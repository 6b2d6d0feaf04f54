import type { TSchemaOptions } from "typebox"
import { Type } from "./type.ts"

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/
const SIZE = /^(\d+(?:\.\d+)?)(B|KB|MB|GB)$/
const MS_PER: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const BYTES_PER: Record<string, number> = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 }

/** "250ms", "30s", "5m", "1h", "2d", or a number of seconds, to milliseconds; `undefined` when it is neither. */
export function parseDuration(value: string | number): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) && value >= 0 ? value * 1000 : undefined
  const found = DURATION.exec(value)
  return found ? Number(found[1]) * MS_PER[found[2]!]! : undefined
}

/** "64KB", "10MB", or a number of bytes (1 KB is 1024 bytes); `undefined` when it is neither. */
export function parseSize(value: string | number): number | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? value : undefined
  const found = SIZE.exec(value)
  return found ? Math.round(Number(found[1]) * BYTES_PER[found[2]!]!) : undefined
}

/** Schema of a duration: decodes to milliseconds. A bare number is seconds. */
export function Duration(options: TSchemaOptions = {}) {
  return Type.Codec(
    Type.Union([Type.Number({ minimum: 0 }), Type.String({ pattern: DURATION.source })], {
      ...options,
      unit: "duration",
    }),
  )
    .Decode((value) => parseDuration(value)!)
    .Encode((ms) => ms / 1000)
}

/** Schema of a size: decodes to bytes. A bare number is bytes. */
export function Size(options: TSchemaOptions = {}) {
  return Type.Codec(
    Type.Union([Type.Integer({ minimum: 0 }), Type.String({ pattern: SIZE.source })], {
      ...options,
      unit: "size",
    }),
  )
    .Decode((value) => parseSize(value)!)
    .Encode((bytes) => bytes)
}
