import type { Fields, NameSet } from "../http1/fields.ts"

// State of the copy that is under way: `Headers.forEach` takes a function, and one made for each request
// would cost more than the copy.
let target: Buffer
let position = 0
let skipped: NameSet

function copyField(value: string, name: string): void {
  if (skipped.has(name)) return
  if (position + name.length + value.length + 4 > target.length) {
    throw new RangeError("copying header fields: the buffer is full")
  }
  position += target.latin1Write(`${name}: ${value}\r\n`, position)
}

/** The fields of a request as the Serve door gets them: names in lower case, lines of one name joined. */
export class ServeFields implements Fields {
  readonly #headers: Headers

  constructor(headers: Headers) {
    this.#headers = headers
  }

  get(name: string): string | undefined {
    return this.#headers.get(name) ?? undefined
  }

  flat(): readonly string[] {
    const lines: string[] = []
    for (const [name, value] of this.#headers) lines.push(name, value)
    return lines
  }

  copy(out: Buffer, at: number, dropped: NameSet): number {
    target = out
    position = at
    skipped = dropped
    this.#headers.forEach(copyField)
    return position
  }
}
