/** The candidate nearest to a mistyped word, or `undefined` when none is near enough to be meant. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  // Nobody mistypes a word this long, and the distance costs length squared.
  if (word.length > 64) return undefined
  const wanted = word.toLowerCase()
  let best: string | undefined
  // One edit in three letters: less is a guess.
  let bestDistance = Math.floor(word.length / 3) + 1
  for (const candidate of candidates) {
    const distance = editDistance(wanted, candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** `; did you mean "x"?`, or "" when nothing is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const found = nearest(word, candidates)
  return found === undefined ? "" : `; did you mean "${found}"?`
}

/** Edits between two words: insert, delete, replace, swap of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 24) return 25
  let twoAbove: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let cost = Math.min(replaced, above[j]! + 1, row[j - 1]! + 1)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, twoAbove[j - 2]! + 1)
      }
      row.push(cost)
    }
    twoAbove = above
    above = row
  }
  return above[b.length]!
}
