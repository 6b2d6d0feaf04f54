/** A text as comparing people read it, and where each of its characters came from. */
export interface FoldedText {
  readonly text: string
  /** For each UTF-16 unit of `text` where the code point it stems from begins in the original, and where that ends. */
  readonly from: readonly number[]
  readonly to: readonly number[]
}

/** Accents (combining diacritical marks), characters nobody sees, and apostrophes: they make no difference. */
const IGNORED = /[\u0300-\u036f]|\p{Default_Ignorable_Code_Point}|['\u2018\u2019\u02bc`\u00b4]/gu
const SEPARATOR = /^[\s\p{P}\p{Z}\p{C}]+$/u
const WORD = /[\p{L}\p{N}]/u
/** Scripts that are written without spaces: any place in them may be the edge of a word. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

/** What becomes of a code point: "" when it makes no difference, " " when it stands between words. */
function foldOne(character: string): string {
  const folded = character
    .normalize("NFKD")
    .toUpperCase()
    .toLowerCase()
    .normalize("NFKD")
    .replace(IGNORED, "")
  return folded !== "" && SEPARATOR.test(folded) ? " " : folded
}

const ASCII: readonly string[] = Array.from({ length: 128 }, (_, code) => foldOne(String.fromCharCode(code)))

/**
 * Folds case, width, composed and decomposed forms, accents and invisible characters, and makes one space of whatever
 * stands between words. Linear in the length of the text.
 */
export function foldText(original: string): FoldedText {
  let text = ""
  const from: number[] = []
  const to: number[] = []
  for (let at = 0; at < original.length; ) {
    const code = original.codePointAt(at)!
    const end = at + (code > 0xffff ? 2 : 1)
    const folded = code < 128 ? ASCII[code]! : foldOne(original.slice(at, end))
    if (folded !== " " || (text !== "" && !text.endsWith(" "))) {
      text += folded
      for (let i = 0; i < folded.length; i++) {
        from.push(at)
        to.push(end)
      }
    }
    at = end
  }
  return { text, from, to }
}

/** Whether words may not begin or end between this character of a folded text and the next; "": there is none. */
export const isInWord = (character: string): boolean => WORD.test(character) && !UNSPACED.test(character)
