/** Code points as pairs: from, to, from, to, … (both included). */
export type CharSet = readonly number[]

/** What a regular expression says, as far as the time it takes is concerned. */
export type RegexNode =
  | { readonly kind: "char"; readonly set: CharSet }
  /** Matches without taking a character; `start`: only at the beginning of the text. */
  | { readonly kind: "empty"; readonly start: boolean }
  | { readonly kind: "seq"; readonly parts: readonly RegexNode[] }
  | { readonly kind: "alt"; readonly parts: readonly RegexNode[] }
  | { readonly kind: "repeat"; readonly body: RegexNode; readonly min: number; readonly max: number }

export interface ParsedRegex {
  readonly root: RegexNode
  /** Bodies of lookaheads and lookbehinds; `once`: tried at one place only if the whole is anchored. */
  readonly lookarounds: readonly { readonly body: RegexNode; readonly once: boolean }[]
}

/** Why a valid expression is not taken: the message says what to write instead. */
export class RegexRefused extends Error {}

const LAST = 0x10ffff
const ANY: CharSet = [0, LAST]
const DIGIT: CharSet = [48, 57]
const WORD: CharSet = [48, 57, 65, 90, 95, 95, 97, 122]
const SPACE: CharSet = [
  9, 13, 32, 32, 160, 160, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f,
].concat([0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff])
const LINE_END: CharSet = [10, 10, 13, 13, 0x2028, 0x2029]
const CONTROLS: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0 }

/** Everything outside the set. */
function complement(set: CharSet): CharSet {
  const pairs: [number, number][] = []
  for (let i = 0; i < set.length; i += 2) pairs.push([set[i]!, set[i + 1]!])
  pairs.sort((a, b) => a[0] - b[0])
  const out: number[] = []
  let next = 0
  for (const [from, to] of pairs) {
    if (from > next) out.push(next, from - 1)
    next = Math.max(next, to + 1)
  }
  if (next <= LAST) out.push(next, LAST)
  return out
}

const CLASSES: Record<string, CharSet> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
}

/**
 * Parses a pattern that the runtime has accepted with the `u` flag. Throws `RegexRefused` for back
 * references and inline flags, whose time cannot be told beforehand.
 */
export function parseRegex(source: string): ParsedRegex {
  const chars = [...source]
  const lookarounds: { body: RegexNode; once: boolean }[] = []
  let at = 0
  let depth = 0
  let repeated = false

  const takes = (text: string) => {
    if (
      !chars
        .slice(at, at + text.length)
        .join("")
        .startsWith(text)
    )
      return false
    at += text.length
    return true
  }

  function alternatives(): RegexNode {
    const parts = [sequence()]
    while (takes("|")) parts.push(sequence())
    return parts.length === 1 ? parts[0]! : { kind: "alt", parts }
  }

  function sequence(): RegexNode {
    const parts: RegexNode[] = []
    while (at < chars.length && chars[at] !== "|" && chars[at] !== ")") parts.push(quantified(atom()))
    return { kind: "seq", parts }
  }

  function quantified(body: RegexNode): RegexNode {
    let min: number
    let max: number
    if (takes("*")) [min, max] = [0, Number.POSITIVE_INFINITY]
    else if (takes("+")) [min, max] = [1, Number.POSITIVE_INFINITY]
    else if (takes("?")) [min, max] = [0, 1]
    else if (takes("{")) {
      const close = chars.indexOf("}", at)
      const [low, high] = chars.slice(at, close).join("").split(",")
      at = close + 1
      min = Number(low)
      max = high === undefined ? min : high === "" ? Number.POSITIVE_INFINITY : Number(high)
    } else return body
    takes("?")
    repeated = true
    return { kind: "repeat", body, min, max }
  }

  function atom(): RegexNode {
    const char = chars[at++]!
    switch (char) {
      case "^":
        return { kind: "empty", start: true }
      case "$":
        return { kind: "empty", start: false }
      case ".":
        return { kind: "char", set: complement(LINE_END) }
      case "(":
        return group()
      case "[":
        return { kind: "char", set: charClass() }
      case "\\":
        if (takes("b") || takes("B")) return { kind: "empty", start: false }
        if (/[1-9k]/.test(chars[at] ?? "")) throw new RegexRefused("refers back to a group; write it without")
        return { kind: "char", set: escaped() }
      default:
        return { kind: "char", set: [char.codePointAt(0)!, char.codePointAt(0)!] }
    }
  }

  function group(): RegexNode {
    const once = depth === 0 && !repeated
    depth++
    let look: "ahead" | "behind" | undefined
    if (takes("?:")) look = undefined
    else if (takes("?=") || takes("?!")) look = "ahead"
    else if (takes("?<=") || takes("?<!")) look = "behind"
    else if (takes("?<")) at = chars.indexOf(">", at) + 1
    else if (chars[at] === "?") throw new RegexRefused("has inline flags; write it without")
    const body = alternatives()
    at++
    depth--
    if (look === undefined) return body
    lookarounds.push({ body, once: once && look === "ahead" })
    return { kind: "empty", start: false }
  }

  function charClass(): CharSet {
    const inverted = takes("^")
    const set: number[] = []
    while (chars[at] !== "]") {
      const from = classAtom()
      if (chars[at] === "-" && chars[at + 1] !== "]") {
        at++
        set.push(from[0]!, classAtom()[1]!)
      } else set.push(...from)
    }
    at++
    return inverted ? complement(set) : set
  }

  function classAtom(): CharSet {
    const char = chars[at++]!
    if (char !== "\\") return [char.codePointAt(0)!, char.codePointAt(0)!]
    if (takes("b")) return [8, 8]
    return escaped()
  }

  function escaped(): CharSet {
    const char = chars[at++]!
    if (CLASSES[char] !== undefined) return CLASSES[char]
    if (char === "p" || char === "P") {
      at = chars.indexOf("}", at) + 1
      // Which characters have the property is not worth a table: taking all errs on the safe side.
      return ANY
    }
    let code = CONTROLS[char] ?? char.codePointAt(0)!
    if (char === "c") code = chars[at++]!.codePointAt(0)! % 32
    else if (char === "x") code = hex(2)
    else if (char === "u" && takes("{")) {
      const close = chars.indexOf("}", at)
      code = hex(close - at)
      at++
    } else if (char === "u") code = hex(4)
    return [code, code]
  }

  function hex(digits: number): number {
    const code = Number.parseInt(chars.slice(at, at + digits).join(""), 16)
    at += digits
    return code
  }

  return { root: alternatives(), lookarounds }
}

/** Whether two sets share a character. */
export function overlaps(a: CharSet, b: CharSet): boolean {
  for (let i = 0; i < a.length; i += 2) {
    for (let j = 0; j < b.length; j += 2) {
      if (a[i]! <= b[j + 1]! && b[j]! <= a[i + 1]!) return true
    }
  }
  return false
}

/** Whether a match can only begin where the text begins. */
export function isAnchored(node: RegexNode): boolean {
  switch (node.kind) {
    case "empty":
      return node.start
    case "seq":
      return node.parts.length > 0 && isAnchored(firstThatTakes(node.parts))
    case "alt":
      return node.parts.every(isAnchored)
    default:
      return false
  }
}

/** The first part that is more than a lookaround or a word boundary. */
const firstThatTakes = (parts: readonly RegexNode[]) =>
  parts.find((part) => part.kind !== "empty" || part.start) ?? parts[0]!
