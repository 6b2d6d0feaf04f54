import type { Row } from "./compare.ts"
import { median, ratios, spread } from "./statistics.ts"
import { cpuOf, errorsOf, formatSpread, peakRssMb } from "./table.ts"

/** A figure that must be reached, and one that would be better still. */
export interface Bound {
  readonly must: number
  readonly goal?: number
}

/** CPU a request of `of`, as a multiple of that of `to` in the same round. */
export interface Target extends Bound {
  readonly of: string
  readonly to: string
}

/** Resident memory of Gatehouse with one worker under load, MB. */
const RSS: Bound = { must: 120, goal: 90 }
/** Gatehouse's CPU as a multiple of any proxy's in JavaScript. */
const JAVASCRIPT = { must: 0.4 }

/** How one target was met. */
export interface Verdict {
  readonly held: boolean
  readonly text: string
}

/** What the figures say to the scenario's targets, and to those of every scenario. */
export function judge(rows: readonly Row[], targets: readonly Target[], ours: string): Verdict[] {
  const javascript = rows.filter(({ kind }) => kind === "javascript")
  const all = [...targets, ...javascript.map(({ name }) => ({ of: ours, to: name, ...JAVASCRIPT }))]
  const verdicts = all.flatMap((target) => judgeRatio(rows, target))
  for (const row of rows.filter(({ kind }) => kind === "ours")) {
    const rss = peakRssMb(row)
    if (row.name === ours) verdicts.push(atMost(`${row.name}: RSS MB`, rss, rss.toFixed(0), RSS))
    const errors = errorsOf(row)
    verdicts.push({
      held: errors === 0,
      text: `${errors === 0 ? "PASS" : "FAIL"}: ${row.name}: ${errors} errors`,
    })
  }
  return verdicts
}

/** Nothing where one of the two is not there. */
function judgeRatio(rows: readonly Row[], target: Target): Verdict[] {
  const [of, to] = [target.of, target.to].map((name) => rows.find((row) => row.name === name))
  if (of === undefined || to === undefined) return []
  const found = spread(ratios(cpuOf(of), cpuOf(to)))
  return [atMost(`${of.name}: CPU × ${to.name}`, found.median, formatSpread(found, 2), target)]
}

export function atMost(what: string, value: number, shown: string, bound: Bound): Verdict {
  return verdict(
    what,
    shown,
    bound,
    "≤",
    value <= bound.must,
    bound.goal !== undefined && value <= bound.goal,
  )
}

/** The same for a figure that should be large. */
export function atLeast(what: string, values: readonly number[], bound: Bound): Verdict {
  const value = median(values)
  const met = bound.goal !== undefined && value >= bound.goal
  return verdict(what, formatSpread(spread(values), 2), bound, "≥", value >= bound.must, met)
}

function verdict(
  what: string,
  shown: string,
  { must, goal }: Bound,
  sign: string,
  held: boolean,
  met: boolean,
): Verdict {
  const better = goal === undefined ? "" : `, goal ${sign} ${goal} ${met ? "met" : "not met"}`
  return { held, text: `${held ? "PASS" : "FAIL"}: ${what} ${shown} (must ${sign} ${must}${better})` }
}
