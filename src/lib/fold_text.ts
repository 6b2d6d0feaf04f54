/** A text as comparing people read it, and where each of its characters came from. */
export interface FoldedText {
  readonly text: string
  /** For each UTF-16 unit of `text` where the code point it stems from begins in the original, and where that ends. */
  readonly from: readonly number[]
  readonly to: readonly number[]
}

/** Accents and other combining marks, characters nobody sees, and apostrophes: they make no difference. */
const IGNORED =
  /[\u0300-\u036f]|[\u0483-\u0489]|[\u1ab0-\u1aff]|[\u1dc0-\u1dff]|[\u20d0-\u20ff]|[\ufe20-\ufe2f]|\p{Default_Ignorable_Code_Point}|\p{Cf}|[^\P{Cc}\s\u0085]|['\u2018\u2019\u02bc`\u00b4]/gu
/** U+2800 is a symbol that looks like a space. */
const SEPARATOR = /^[\s\p{P}\p{Z}\p{C}\u2800]+$/u
const SEPARATOR_OR_SYMBOL = /^[\s\p{P}\p{Z}\p{C}\p{S}]+$/u
const WORD = /[\p{L}\p{N}]/u
/** Scripts that are written without spaces: any place in them may be the edge of a word. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

/** What becomes of a code point: "" when it makes no difference, " " when it stands between words. */
function foldOne(character: string, separator: RegExp): string {
  const folded = character
    .normalize("NFKD")
    .toUpperCase()
    .toLowerCase()
    .normalize("NFKD")
    .replace(IGNORED, "")
  return folded !== "" && separator.test(folded) ? " " : folded
}

/** Whether emoji and signs such as `+` are characters like others, or stand between words as punctuation does. */
export type Symbols = "kept" | "between"

/** What was folded before, by code point: folding takes a microsecond. Beyond are hardly any texts. */
const REMEMBERED = 0x2_0000
const known: Readonly<Record<Symbols, (string | undefined)[]>> = { kept: [], between: [] }

function foldKnown(code: number, symbols: Symbols): string {
  const before = known[symbols]
  const found = code < before.length ? before[code] : undefined
  if (found !== undefined) return found
  const separator = symbols === "kept" ? SEPARATOR : SEPARATOR_OR_SYMBOL
  const folded = foldOne(String.fromCodePoint(code), separator)
  if (code >= REMEMBERED) return folded
  while (before.length <= code) before.push(undefined)
  before[code] = folded
  return folded
}

/**
 * Folds case, width, composed and decomposed forms, accents and invisible characters, and makes one space of whatever
 * stands between words. Linear in the length of the text.
 */
export function foldText(original: string, symbols: Symbols): FoldedText {
  let text = ""
  let between = true
  const from: number[] = []
  const to: number[] = []
  for (let at = 0; at < original.length; ) {
    const code = original.codePointAt(at)!
    const end = at + (code > 0xffff ? 2 : 1)
    const folded = foldKnown(code, symbols)
    if (folded !== " " || !between) {
      text += folded
      for (let i = 0; i < folded.length; i++) {
        from.push(at)
        to.push(end)
      }
    }
    if (folded !== "") between = folded.endsWith(" ")
    at = end
  }
  return { text, from, to }
}

/** Whether words may not begin or end between this character of a folded text and the next; "": there is none. */
export const isInWord = (character: string): boolean => WORD.test(character) && !UNSPACED.test(character)
