/** Least, middle and largest of some figures. */
export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  return { min: sorted[0]!, median: median(sorted), max: sorted.at(-1)! }
}

/** The mean of the middle two where their number is even. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** Each value by the other of the same place: rounds a slow moment hit cancel out. */
export const ratios = (of: readonly number[], to: readonly number[]): number[] =>
  of.map((value, i) => value / to[i]!)
