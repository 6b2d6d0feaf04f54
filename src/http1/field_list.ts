import type { Fields, NameSet } from "./fields.ts"
import { writeText } from "./text.ts"

/**
 * A header section from a flat list: name, value, … with names in lower case and values of Latin-1. Made by
 * the gateway itself, or read once from the runtime's Headers (edge/serve_fields.ts).
 */
export class FieldList implements Fields {
  readonly #lines: readonly string[]

  constructor(lines: readonly string[]) {
    this.#lines = lines
  }

  /** From an object, names in any case. */
  static of(headers: Readonly<Record<string, string>>): FieldList {
    return new FieldList(Object.entries(headers).flatMap(([name, value]) => [name.toLowerCase(), value]))
  }

  get(name: string): string | undefined {
    let found: string | undefined
    for (let i = 0; i < this.#lines.length; i += 2) {
      if (this.#lines[i] !== name) continue
      found = found === undefined ? this.#lines[i + 1] : `${found}, ${this.#lines[i + 1]}`
    }
    return found
  }

  has(name: string): boolean {
    for (let i = 0; i < this.#lines.length; i += 2) if (this.#lines[i] === name) return true
    return false
  }

  flat(): readonly string[] {
    return this.#lines
  }

  copy(out: Buffer, at: number, dropped: NameSet): number {
    const lines = this.#lines
    let text = ""
    for (let i = 0; i < lines.length; i += 2) {
      if (!dropped.has(lines[i]!)) text += `${lines[i]}: ${lines[i + 1]}\r\n`
    }
    return writeText(out, at, text)
  }
}

export const NO_FIELDS: Fields = new FieldList([])
