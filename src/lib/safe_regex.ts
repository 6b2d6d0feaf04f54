import { type Automaton, buildAutomaton, findLoops, reachability } from "./regex_automaton.ts"
import { isAnchored, overlaps, parseRegex, type RegexNode, RegexRefused } from "./regex_parse.ts"

/**
 * How long a backtracking matcher can take on a text of n characters: at most about n steps, about n², or
 * so long (n³ and more, or exponential) that the pattern is refused.
 */
export type RegexCost =
  | { readonly kind: "linear" }
  | { readonly kind: "quadratic" }
  | { readonly kind: "refused"; readonly reason: string }

/** Longest text, in characters, a quadratic pattern is tried on: a few million steps. */
export const QUADRATIC_MAX_CHARS = 2048

/**
 * Choices in the counted repetitions of one pattern that are written out; beyond, each counts as an endless
 * one. Each can double the steps: 2^20 are fine once, but not at every character of a text.
 */
const MAX_CHOICES = 20
const MAX_CHOICES_IN_LOOPS = 6
const MAX_STEPS = 2_000_000

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
  if (anchored && findLoops(reachability(buildAutomaton(root, true, MAX_CHOICES))).length === 0) return 1
  const automaton = buildAutomaton(root, anchored, MAX_CHOICES_IN_LOOPS)
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
