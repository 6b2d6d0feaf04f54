/** Key of a keyed hash: two unsigned 32-bit numbers nobody outside may know. */
export type HashKey = readonly [k0: number, k1: number]

/**
 * HalfSipHash-2-4 with 64 bits of output (Aumasson and Bernstein; the 32-bit sibling of SipHash): a keyed
 * pseudo-random function that needs no 64-bit arithmetic. Who does not know the key can neither choose inputs that
 * collide nor tell from a hash what went in. Built up part by part, without allocation:
 *
 * ```ts
 * hash.start(key).word(3).text("u_7").finish() // then: hash.high, hash.low
 * ```
 *
 * One object a thread is enough: nothing else can run between `start` and `finish`.
 */
export class KeyedHash {
  /** The hash after `finish`: two unsigned 32-bit numbers. */
  high = 0
  low = 0
  #v0 = 0
  #v1 = 0
  #v2 = 0
  #v3 = 0
  #words = 0

  start(key: HashKey): this {
    this.#v0 = key[0]
    this.#v1 = key[1] ^ 0xee
    this.#v2 = key[0] ^ 0x6c796765
    this.#v3 = key[1] ^ 0x74656462
    this.#words = 0
    return this
  }

  /** Takes in 32 bits. */
  word(word: number): this {
    this.#v3 ^= word
    this.#rounds(2)
    this.#v0 ^= word
    this.#words++
    return this
  }

  /**
   * Takes in a text: its UTF-16 units, then their number, so that two texts after each other are never taken for
   * two others. Of a longer text than `maxUnits` only so much, and its whole length.
   */
  text(text: string, maxUnits = 256): this {
    const length = Math.min(text.length, maxUnits)
    let i = 0
    for (; i + 1 < length; i += 2) this.word(text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16))
    if (i < length) this.word(text.charCodeAt(i))
    return this.word(text.length)
  }

  finish(): this {
    this.word((this.#words << 26) | 0)
    this.#v2 ^= 0xee
    this.#rounds(4)
    this.low = (this.#v1 ^ this.#v3) >>> 0
    this.#v1 ^= 0xdd
    this.#rounds(4)
    this.high = (this.#v1 ^ this.#v3) >>> 0
    return this
  }

  #rounds(rounds: number): void {
    let v0 = this.#v0
    let v1 = this.#v1
    let v2 = this.#v2
    let v3 = this.#v3
    for (let i = 0; i < rounds; i++) {
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
    }
    this.#v0 = v0
    this.#v1 = v1
    this.#v2 = v2
    this.#v3 = v3
  }
}
