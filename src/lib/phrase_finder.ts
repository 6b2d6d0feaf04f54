import { foldText, isInWord } from "./fold_text.ts"

/** A phrase was found: its place in the list the finder was made of, and where it is in the original text. */
export type OnPhrase = (phrase: number, start: number, end: number) => void

interface Node {
  readonly next: Map<string, number>
  /** Longest other beginning of a phrase the text ends with here. */
  fail: number
  /** Phrase that ends here; -1: none. */
  phrase: number
  /** Nearest node on the way of `fail` where a phrase ends; 0: none. */
  shorter: number
}

interface Phrase {
  readonly index: number
  readonly length: number
  /** It may go on after its last character. */
  readonly open: boolean
}

/**
 * Finds words and phrases in texts, as people compare them (see `foldText`), at the edges of words; a `*` at the end of a
 * phrase takes any ending. All phrases at once, in time linear in the text, whatever it holds (Aho and Corasick, 1975).
 */
export class PhraseFinder {
  readonly #nodes: Node[] = [newNode()]
  /** By the node's `phrase`: the same text may stand for several. */
  readonly #phrases: Phrase[][] = []

  /** Phrases that fold to nothing are never found: see `isPhrase`. */
  constructor(phrases: readonly string[]) {
    for (const [index, phrase] of phrases.entries()) this.#add(phrase, index)
    this.#link()
  }

  /** Tells of every place, by where it ends; all of them, or whoever writes a text could hide one behind others. */
  find(original: string, onFound: OnPhrase): void {
    const { text, from, to } = foldText(original)
    let at = 0
    for (let i = 0; i < text.length; i++) {
      const unit = text[i]!
      while (at > 0 && !this.#nodes[at]!.next.has(unit)) at = this.#nodes[at]!.fail
      at = this.#nodes[at]!.next.get(unit) ?? 0
      for (let node = at; node > 0; node = this.#nodes[node]!.shorter) {
        const { phrase } = this.#nodes[node]!
        if (phrase < 0) continue
        for (const { index, length, open } of this.#phrases[phrase]!) {
          const first = i - length + 1
          if (isWhole(text, first, i, open)) onFound(index, from[first]!, to[i]!)
        }
      }
    }
  }

  #add(phrase: string, index: number): void {
    const { text, open } = partsOf(phrase)
    if (text === "") return
    let at = 0
    for (let i = 0; i < text.length; i++) {
      const { next } = this.#nodes[at]!
      let after = next.get(text[i]!)
      if (after === undefined) {
        after = this.#nodes.push(newNode()) - 1
        next.set(text[i]!, after)
      }
      at = after
    }
    const node = this.#nodes[at]!
    if (node.phrase < 0) node.phrase = this.#phrases.push([]) - 1
    this.#phrases[node.phrase]!.push({ index, length: text.length, open })
  }

  /** Breadth first: what a node falls back to is nearer to the root, and done before it. */
  #link(): void {
    const queue = [0]
    for (const at of queue) {
      for (const [unit, to] of this.#nodes[at]!.next) {
        let fail = this.#nodes[at]!.fail
        while (fail > 0 && !this.#nodes[fail]!.next.has(unit)) fail = this.#nodes[fail]!.fail
        const back = at === 0 ? 0 : (this.#nodes[fail]!.next.get(unit) ?? 0)
        const node = this.#nodes[to]!
        node.fail = back
        node.shorter = this.#nodes[back]!.phrase >= 0 ? back : this.#nodes[back]!.shorter
        queue.push(to)
      }
    }
  }
}

const newNode = (): Node => ({ next: new Map(), fail: 0, phrase: -1, shorter: 0 })

function partsOf(phrase: string): { readonly text: string; readonly open: boolean } {
  const open = phrase.endsWith("*")
  return { text: foldText(open ? phrase.slice(0, -1) : phrase).text.trimEnd(), open }
}

/** Whether there is something to find. */
export const isPhrase = (phrase: string): boolean => partsOf(phrase).text !== ""

function isWhole(text: string, first: number, last: number, open: boolean): boolean {
  const begins = first === 0 || !isInWord(text[first - 1]!) || !isInWord(text[first]!)
  return begins && (open || last + 1 === text.length || !isInWord(text[last + 1]!) || !isInWord(text[last]!))
}
