import { type CharSet, type RegexNode, RegexRefused } from "./regex_parse.ts"

const MAX_POSITIONS = 300
/** Repetitions up to this count are written out; longer ones count as endless. */
const MAX_COPIES = 32

/** What can begin and end a match of a part, by position, with the number of ways (1, or 2 for more). */
interface Part {
  readonly nullable: number
  readonly first: ReadonlyMap<number, number>
  readonly last: ReadonlyMap<number, number>
}

/**
 * The automaton of a pattern, one state for each character it names (Glushkov 1961). The ways from one
 * state to the next are counted, because a backtracking matcher tries each.
 */
export interface Automaton {
  readonly sets: readonly CharSet[]
  readonly follow: readonly Map<number, number>[]
}

const many = (ways: number) => Math.min(2, ways)

function merge(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>, times: number) {
  if (times === 0) return a
  const out = new Map(a)
  for (const [position, ways] of b) out.set(position, many((out.get(position) ?? 0) + ways * times))
  return out
}

const EMPTY: Part = { nullable: 1, first: new Map(), last: new Map() }

/** How many times a match has to decide something, at most; `Infinity` when it repeats without end. */
function countChoices(node: RegexNode): number {
  switch (node.kind) {
    case "seq":
      return node.parts.reduce((sum, part) => sum + countChoices(part), 0)
    case "alt":
      return node.parts.reduce((sum, part) => sum + countChoices(part) + 1, -1)
    case "repeat": {
      const within = countChoices(node.body)
      return node.max - node.min + (within === 0 ? 0 : within * node.max)
    }
    default:
      return 0
  }
}

/**
 * Builds the automaton. `maxChoices`: choices in counted repetitions that are written out; beyond, each
 * counts as an endless repetition. Throws `RegexRefused` for what is too long or cannot be told.
 */
export function buildAutomaton(root: RegexNode, anchored: boolean, maxChoices: number): Automaton {
  const sets: CharSet[] = []
  const follow: Map<number, number>[] = []
  let choices = 0

  const position = (set: CharSet) => {
    if (sets.length >= MAX_POSITIONS) throw new RegexRefused("is too long to judge; split it up")
    follow.push(new Map())
    return sets.push(set) - 1
  }
  const connect = (last: ReadonlyMap<number, number>, first: ReadonlyMap<number, number>) => {
    for (const [from, exits] of last) {
      const next = follow[from]!
      for (const [to, entries] of first) next.set(to, many((next.get(to) ?? 0) + exits * entries))
    }
  }
  const join = (a: Part, b: Part): Part => {
    connect(a.last, b.first)
    return {
      nullable: many(a.nullable * b.nullable),
      first: merge(a.first, b.first, a.nullable),
      last: merge(b.last, a.last, b.nullable),
    }
  }
  const maybe = (part: Part): Part => ({ ...part, nullable: many(1 + part.nullable) })

  function repeat(body: RegexNode, min: number, max: number): Part {
    if (max === 0) return EMPTY
    const within = countChoices(body)
    const decided = max - min + (within === 0 || max === 1 ? 0 : within * max)
    const exact = decided === 0 || choices + decided <= maxChoices
    if (exact && max <= MAX_COPIES) {
      choices += max === 1 ? max - min : decided
      // x{1,3} is x(x(x)?)?: written so, an optional part is left out in one way only.
      let tail = EMPTY
      for (let i = max; i > min; i--) tail = maybe(join(build(body), tail))
      for (let i = 0; i < min; i++) tail = join(build(body), tail)
      return tail
    }
    const part = build(body)
    // A turn that must be taken may take nothing: then which of the turns do so is one more choice.
    if (min > 1 && part.nullable > 0) throw new RegexRefused("counts repetitions of what can be empty")
    connect(part.last, part.first)
    return min === 0 ? maybe(part) : part
  }

  function build(node: RegexNode): Part {
    switch (node.kind) {
      case "empty":
        return EMPTY
      case "char": {
        const at = new Map([[position(node.set), 1]])
        return { nullable: 0, first: at, last: at }
      }
      case "seq":
        return node.parts.map(build).reduce(join, EMPTY)
      case "alt":
        return node.parts.map(build).reduce((a, b) => ({
          nullable: many(a.nullable + b.nullable),
          first: merge(a.first, b.first, 1),
          last: merge(a.last, b.last, 1),
        }))
      case "repeat":
        return repeat(node.body, node.min, node.max)
    }
  }

  const whole = build(root)
  if (!anchored) {
    // The search for the first place that matches is a loop over any character before the pattern.
    const start = new Map([[position([0, 0x10ffff]), 1]])
    connect(start, start)
    connect(start, whole.first)
  }
  return { sets, follow }
}

/** Which states can be reached from each by one step or more. */
export function reachability({ follow }: Automaton): Uint8Array[] {
  return follow.map((_, from) => {
    const seen = new Uint8Array(follow.length)
    const queue = [from]
    for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
      for (const next of follow[at]!.keys()) {
        if (seen[next]) continue
        seen[next] = 1
        queue.push(next)
      }
    }
    return seen
  })
}

/** The loops: sets of states that reach each other, in an order in which later ones do not reach earlier. */
export function findLoops(reach: readonly Uint8Array[]): number[][] {
  const loops: number[][] = []
  const done = new Set<number>()
  for (let p = 0; p < reach.length; p++) {
    if (done.has(p) || !reach[p]![p]) continue
    const loop: number[] = []
    for (let q = 0; q < reach.length; q++) if (reach[p]![q] && reach[q]![p]) loop.push(q)
    for (const q of loop) done.add(q)
    loops.push(loop)
  }
  return loops.sort((a, b) => (reach[a[0]!]![b[0]!] ? -1 : reach[b[0]!]![a[0]!] ? 1 : 0))
}
