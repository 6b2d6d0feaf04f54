import {
  type CharSet,
  isAnchored,
  overlaps,
  parseRegex,
  type RegexNode,
  RegexRefused,
} from "./regex_parse.ts"

/**
 * How long a backtracking matcher can take on a text of n characters: at most about n steps, about n², or
 * so long (n³ and more, or exponential) that the pattern is refused.
 */
export type RegexCost =
  | { readonly kind: "linear" }
  | { readonly kind: "quadratic" }
  | { readonly kind: "refused"; readonly reason: string }

/** Longest text, in characters, a quadratic pattern is tried on: some 20 ms at worst. */
export const QUADRATIC_MAX_CHARS = 4096

const MAX_POSITIONS = 300
/** Repetitions up to this count are written out; longer ones count as endless. */
const MAX_COPIES = 32
/** Choices in the repetitions of one pattern that are written out; beyond, each counts as an endless one. */
const MAX_CHOICES = 20
const MAX_STEPS = 2_000_000

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
interface Automaton {
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

function buildAutomaton(root: RegexNode, anchored: boolean): Automaton {
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
    const exact = decided === 0 || choices + decided <= MAX_CHOICES
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
function reachability({ follow }: Automaton): Uint8Array[] {
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
function findLoops(reach: readonly Uint8Array[]): number[][] {
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

/** Bounds the work of judging; patterns come from config, but config may come from many people. */
class Steps {
  #left = MAX_STEPS
  take(): void {
    if (--this.#left < 0) throw new RegexRefused("is too complex to judge; split it up")
  }
}

/**
 * Whether one text can be read in two ways around a loop: then each turn doubles the tries. Pairs of states
 * are followed in step; a pair that leaves the diagonal and can come back to it is such a text.
 */
function isExponential(automaton: Automaton, loop: readonly number[], steps: Steps): boolean {
  const { sets, follow } = automaton
  const size = sets.length
  const inside = new Set(loop)
  const back = new Map<number, number[]>()
  const queue = loop.map((state) => state * size + state)
  const seen = new Set(queue)
  for (let pair = queue.pop(); pair !== undefined; pair = queue.pop()) {
    const [a, b] = [Math.floor(pair / size), pair % size]
    for (const [nextA, ways] of follow[a]!) {
      if (!inside.has(nextA)) continue
      if (a === b && ways > 1) return true
      for (const nextB of follow[b]!.keys()) {
        steps.take()
        if (!inside.has(nextB) || !overlaps(sets[nextA]!, sets[nextB]!)) continue
        const next = nextA * size + nextB
        const from = back.get(next)
        if (from === undefined) back.set(next, [pair])
        else from.push(pair)
        if (seen.has(next)) continue
        seen.add(next)
        queue.push(next)
      }
    }
  }
  const returning = loop.map((state) => state * size + state)
  const known = new Set(returning)
  for (let pair = returning.pop(); pair !== undefined; pair = returning.pop()) {
    for (const from of back.get(pair) ?? []) {
      steps.take()
      if (Math.floor(from / size) !== from % size) return true
      if (!known.has(from)) {
        known.add(from)
        returning.push(from)
      }
    }
  }
  return false
}

/**
 * Whether one text can be read around the first loop, around the second, and from the first into the
 * second: then the place to change over is tried at every character.
 */
function isAmbiguous(
  { sets, follow }: Automaton,
  first: readonly number[],
  second: readonly number[],
  reach: readonly Uint8Array[],
  steps: Steps,
): boolean {
  const size = sets.length
  const [inFirst, inSecond] = [new Set(first), new Set(second)]
  const queue: number[] = []
  for (const p of first) for (const q of second) queue.push((p * size + p) * size + q)
  const seen = new Set(queue)
  for (let triple = queue.pop(); triple !== undefined; triple = queue.pop()) {
    const [a, x, b] = [Math.floor(triple / size / size), Math.floor(triple / size) % size, triple % size]
    for (const nextA of follow[a]!.keys()) {
      if (!inFirst.has(nextA)) continue
      for (const nextX of follow[x]!.keys()) {
        steps.take()
        if (!inSecond.has(nextX) && !reach[nextX]![second[0]!]) continue
        if (!overlaps(sets[nextA]!, sets[nextX]!)) continue
        for (const nextB of follow[b]!.keys()) {
          steps.take()
          if (!inSecond.has(nextB) || !overlaps(sets[nextX]!, sets[nextB]!)) continue
          if (!overlaps(sets[nextA]!, sets[nextB]!)) continue
          if (nextX === nextB) return true
          const next = (nextA * size + nextX) * size + nextB
          if (seen.has(next)) continue
          seen.add(next)
          queue.push(next)
        }
      }
    }
  }
  return false
}

/** The power of n the time grows with. Throws `RegexRefused` when it is exponential. */
function degreeOf(root: RegexNode, anchored: boolean, steps: Steps): number {
  const automaton = buildAutomaton(root, anchored)
  const reach = reachability(automaton)
  const loops = findLoops(reach)
  const degrees: number[] = []
  for (const [i, loop] of loops.entries()) {
    if (isExponential(automaton, loop, steps))
      throw new RegexRefused("repeats what can be read in several ways, which takes exponential time")
    let degree = 1
    for (let j = 0; j < i; j++) {
      const before = loops[j]!
      if (degrees[j]! + 1 <= degree || !reach[before[0]!]![loop[0]!]) continue
      if (isAmbiguous(automaton, before, loop, reach, steps)) degree = degrees[j]! + 1
    }
    degrees.push(degree)
  }
  return Math.max(1, ...degrees)
}

/** Judges a pattern (with the `u` flag) before it ever meets a text; a bad pattern is refused with its reason. */
export function judgeRegex(source: string): RegexCost {
  try {
    new RegExp(source, "u")
    const { root, lookarounds } = parseRegex(source)
    const anchored = isAnchored(root)
    const steps = new Steps()
    let degree = degreeOf(root, anchored, steps)
    for (const { body, once } of lookarounds) {
      degree = Math.max(degree, degreeOf(body, true, steps) + (once && anchored ? 0 : 1))
    }
    if (degree > 2)
      throw new RegexRefused(
        "has neighbouring repetitions of the same characters, which take cubic time or more",
      )
    return { kind: degree === 1 ? "linear" : "quadratic" }
  } catch (error) {
    if (error instanceof RegexRefused) return { kind: "refused", reason: error.message }
    return { kind: "refused", reason: error instanceof Error ? error.message : "is not a regular expression" }
  }
}

/** The test of a pattern that was not refused, bounded: a text too long for a quadratic pattern does not match. */
export function compileRegex(source: string): { test(text: string): boolean } {
  const regex = new RegExp(source, "u")
  if (judgeRegex(source).kind === "linear") return regex
  return { test: (text) => text.length <= QUADRATIC_MAX_CHARS && regex.test(text) }
}
