import type { Candidates } from "../candidates.ts"
import type { Member } from "../member.ts"

/** Draws one candidate: by weight, and less often while it starts slowly. */
export function sample({ list, cumulative }: Candidates, random: () => number, now: number): Member {
  // A member at a tenth of its share is passed over nine times in ten; the bound is for a set of only such.
  for (let draw = 0; ; draw++) {
    const member =
      list[cumulative === undefined ? Math.floor(random() * list.length) : search(cumulative, random)]!
    const warmth = member.warmth(now)
    if (warmth === 1 || draw === 20 || random() < warmth) return member
  }
}

/** Two draws, different when there are two: the "power of two choices" (Mitzenmacher, 2001). */
export function sampleOther(
  candidates: Candidates,
  first: Member,
  random: () => number,
  now: number,
): Member {
  const { list } = candidates
  for (let draw = 0; draw < 3; draw++) {
    const second = sample(candidates, random, now)
    if (second !== first) return second
  }
  const at = list.indexOf(first)
  return list[(at + 1) % list.length]!
}

function search(cumulative: readonly number[], random: () => number): number {
  const wanted = random() * cumulative[cumulative.length - 1]!
  let low = 0
  let high = cumulative.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (cumulative[middle]! > wanted) high = middle
    else low = middle + 1
  }
  return low
}
