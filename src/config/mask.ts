const PLACEHOLDER = /\$\{[^{}\n]*\}/g
const START = "\uE000"
const FILL = "\uE001"
const MASKED = /\uE000([\uE100-\uF8FF])([\uE100-\uF8FF])\uE001+/g
const DIGIT = 0xe100
const DIGITS = 0xf8ff - DIGIT + 1

/**
 * Hides `${…}` from the YAML parser. `{ token: ${TOKEN} }` is not YAML: a brace ends a plain value within
 * braces. So placeholders become letters of the same length (columns stay right) and come back afterwards.
 */
export class Mask {
  /** The text to parse. */
  readonly text: string
  readonly #hidden: string[] = []

  /** `text` must not hold U+E000 itself. `hide` false: nothing is hidden, and nothing comes back. */
  constructor(text: string, hide: boolean) {
    this.text = hide ? text.replace(PLACEHOLDER, (found) => this.#hide(found)) : text
  }

  static canHide(text: string): boolean {
    return !text.includes(START)
  }

  /** Puts the placeholders back into a part of the parsed text. */
  restore(text: string): string {
    if (this.#hidden.length === 0 || !text.includes(START)) return text
    return text.replace(MASKED, (_, high: string, low: string) => {
      return this.#hidden[(high.charCodeAt(0) - DIGIT) * DIGITS + low.charCodeAt(0) - DIGIT] ?? ""
    })
  }

  #hide(found: string): string {
    const index = this.#hidden.length
    if (found.length < 4 || index >= DIGITS * DIGITS) return found
    this.#hidden.push(found)
    const high = String.fromCharCode(DIGIT + Math.floor(index / DIGITS))
    const low = String.fromCharCode(DIGIT + (index % DIGITS))
    return START + high + low + FILL.repeat(found.length - 3)
  }
}
