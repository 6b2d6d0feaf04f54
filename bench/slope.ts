/** A line through samples, and how sure its slope is. */
export interface Slope {
  /** Units of the value in one unit of the place. */
  readonly perUnit: number
  /** Standard error of it. */
  readonly error: number
  readonly mean: number
}

/** Samples that follow each other closely are alike; of means over so many spans each counts for itself. */
const BLOCKS = 20

/**
 * Least squares over the means of 20 spans of equal length (single samples would look surer than they are: memory that
 * is collected now and then swings slowly). Needs at least 60 samples for spans of three; takes any from 3 on.
 */
export function slopeOf(places: readonly number[], values: readonly number[]): Slope {
  const blocks = Math.min(BLOCKS, values.length)
  const block = (of: readonly number[], i: number): number => {
    const part = of.slice(Math.floor((i * of.length) / blocks), Math.floor(((i + 1) * of.length) / blocks))
    return mean(part)
  }
  const x = Array.from({ length: blocks }, (_, i) => block(places, i))
  const y = Array.from({ length: blocks }, (_, i) => block(values, i))
  const [middle, level] = [mean(x), mean(y)]
  let squares = 0
  let products = 0
  for (let i = 0; i < blocks; i++) {
    squares += (x[i]! - middle) ** 2
    products += (x[i]! - middle) * (y[i]! - level)
  }
  const perUnit = products / squares
  let rest = 0
  for (let i = 0; i < blocks; i++) rest += (y[i]! - level - perUnit * (x[i]! - middle)) ** 2
  return { perUnit, error: Math.sqrt(rest / (blocks - 2) / squares), mean: level }
}

const mean = (of: readonly number[]): number => of.reduce((sum, value) => sum + value, 0) / of.length

/** Twice the standard error: a slope of nothing but noise is beyond it once in forty times. */
const SURE = 2

/** Whether the value surely grows by more than `share` of its mean over `span`. */
export const grows = ({ perUnit, error, mean: level }: Slope, span: number, share: number): boolean =>
  (perUnit - SURE * error) * span > share * level
