import { type FoldedText, foldText, isInWord, type Symbols } from "./fold_text.ts"

/** A phrase was found: its place in the list the finder was made of, and where it is in the original text. */
export type OnPhrase = (phrase: number, start: number, end: number) => void

interface Node {
  /** What its first child is reached by, and that child; 0: it has none. Most nodes have no more than one. */
  unit: string
  child: number
  /** The other children. */
  more: Map<string, number> | undefined
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

/** Finds phrases that are folded in one way; each by where it ends. */
class Automaton {
  readonly #nodes: Node[] = [newNode()]
  /** By the node's `phrase`: the same text may stand for several. */
  readonly #phrases: Phrase[][] = []

  find({ text, from, to }: FoldedText, onFound: OnPhrase): void {
    let at = 0
    for (let i = 0; i < text.length; i++) {
      const unit = text[i]!
      at = this.#next(at, unit)
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

  /** All of them before `link`. */
  add(text: string, open: boolean, index: number): void {
    let at = 0
    for (let i = 0; i < text.length; i++) {
      const node = this.#nodes[at]!
      const unit = text[i]!
      let after = childOf(node, unit)
      if (after === 0) {
        after = this.#nodes.push(newNode()) - 1
        addChild(node, unit, after)
      }
      at = after
    }
    const node = this.#nodes[at]!
    if (node.phrase < 0) node.phrase = this.#phrases.push([]) - 1
    this.#phrases[node.phrase]!.push({ index, length: text.length, open })
  }

  /** Breadth first: what a node falls back to is nearer to the root, and done before it. */
  link(): void {
    const queue = [0]
    for (const at of queue) {
      const { unit, child, more, fail } = this.#nodes[at]!
      if (child !== 0) queue.push(this.#linkChild(child, at === 0 ? 0 : this.#next(fail, unit)))
      for (const [other, to] of more ?? NO_MORE)
        queue.push(this.#linkChild(to, at === 0 ? 0 : this.#next(fail, other)))
    }
  }

  #linkChild(to: number, back: number): number {
    const node = this.#nodes[to]!
    node.fail = back
    node.shorter = this.#nodes[back]!.phrase >= 0 ? back : this.#nodes[back]!.shorter
    return to
  }

  /** The node after one more character. */
  #next(from: number, unit: string): number {
    for (let at = from; ; at = this.#nodes[at]!.fail) {
      const after = childOf(this.#nodes[at]!, unit)
      if (after !== 0 || at === 0) return after
    }
  }
}

/**
 * Finds words and phrases in texts, as people compare them (see `foldText`), at the edges of words; a `*` at the end of a
 * phrase takes any ending. All phrases at once, in time linear in the text, whatever it holds (Aho and Corasick, 1975).
 */
export class PhraseFinder {
  /** A text is read once for phrases that hold a symbol (`🔪`, `c++`), and once for the others, if there are any. */
  readonly #automata = new Map<Symbols, Automaton>()

  /** Phrases that fold to nothing are never found: see `isPhrase`. */
  constructor(phrases: readonly string[]) {
    for (const [index, phrase] of phrases.entries()) {
      const { text, open, symbols } = partsOf(phrase)
      if (text === "") continue
      let automaton = this.#automata.get(symbols)
      if (automaton === undefined) {
        automaton = new Automaton()
        this.#automata.set(symbols, automaton)
      }
      automaton.add(text, open, index)
    }
    for (const automaton of this.#automata.values()) automaton.link()
  }

  /** Tells of every place; all of them, or whoever writes a text could hide one behind others. */
  find(original: string, onFound: OnPhrase): void {
    for (const [symbols, automaton] of this.#automata) automaton.find(foldText(original, symbols), onFound)
  }
}

const NO_MORE: ReadonlyMap<string, number> = new Map()

const newNode = (): Node => ({ unit: "", child: 0, more: undefined, fail: 0, phrase: -1, shorter: 0 })

/** 0: there is none, as the root is nobody's. */
const childOf = (node: Node, unit: string): number =>
  node.unit === unit ? node.child : (node.more?.get(unit) ?? 0)

function addChild(node: Node, unit: string, child: number): void {
  if (node.child === 0) {
    node.unit = unit
    node.child = child
  } else {
    node.more ??= new Map()
    node.more.set(unit, child)
  }
}

const SYMBOL = /\p{S}/u

interface Parts {
  /** Folded. */
  readonly text: string
  readonly open: boolean
  readonly symbols: Symbols
}

function partsOf(phrase: string): Parts {
  const open = phrase.endsWith("*")
  const { text } = foldText(open ? phrase.slice(0, -1) : phrase, "kept")
  return { text: text.trimEnd(), open, symbols: SYMBOL.test(text) ? "kept" : "between" }
}

/** Whether there is something to find. */
export const isPhrase = (phrase: string): boolean => partsOf(phrase).text !== ""

function isWhole(text: string, first: number, last: number, open: boolean): boolean {
  const begins = first === 0 || !isInWord(text[first - 1]!) || !isInWord(text[first]!)
  return begins && (open || last + 1 === text.length || !isInWord(text[last + 1]!) || !isInWord(text[last]!))
}
