import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** Code of one function as a just-in-time compiler wrote it. */
interface Code {
  readonly start: number
  readonly end: number
  readonly name: string
  /** When it was written; of two at one place the later one counts. */
  readonly at: bigint
}

/** Bytes before the name in a record of loaded code, its own head included (perf's jitdump-specification.txt). */
const NAME_AT = 56
const LOADED = 0

/** Compiled functions of a process by address, from what it dumped with `BUN_JSC_useJITDump=1`. */
export class JitDump {
  readonly #codes: readonly Code[]
  readonly #starts: readonly number[]

  constructor(directory: string) {
    const codes = readdirSync(directory).flatMap((file) => readCodes(readFileSync(join(directory, file))))
    this.#codes = codes.sort((a, b) => a.start - b.start)
    this.#starts = this.#codes.map(({ start }) => start)
  }

  /** Name of the function the address lies in; `undefined`: in none of them. */
  nameAt(address: number): string | undefined {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#starts[middle]! <= address) low = middle + 1
      else high = middle
    }
    let found: Code | undefined
    // Places are used again; those that overlap begin near each other.
    for (let i = low - 1; i >= Math.max(0, low - 64); i--) {
      const code = this.#codes[i]!
      if (address < code.end && (found === undefined || code.at > found.at)) found = code
    }
    return found?.name
  }
}

function readCodes(bytes: Buffer): Code[] {
  const codes: Code[] = []
  for (let at = bytes.readUInt32LE(8); at + NAME_AT < bytes.length; ) {
    const size = bytes.readUInt32LE(at + 4)
    // What follows was not written yet.
    if (size === 0) break
    if (bytes.readUInt32LE(at) === LOADED) {
      const start = Number(bytes.readBigUInt64LE(at + 32))
      const length = Number(bytes.readBigUInt64LE(at + 40))
      const name = bytes.toString("latin1", at + NAME_AT, bytes.indexOf(0, at + NAME_AT))
      codes.push({ start, end: start + length, name, at: bytes.readBigUInt64LE(at + 8) })
    }
    at += size
  }
  return codes
}
