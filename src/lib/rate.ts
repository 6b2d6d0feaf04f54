import { parseDuration } from "./units.ts"

/** So many in such a time. */
export interface Rate {
  readonly count: number
  readonly perMs: number
}

const RATE = /^(\d{1,9})\/(\d{0,4})(s|sec|second|m|min|minute|h|hour|d|day)$/
const UNITS: Readonly<Record<string, string>> = {
  sec: "s",
  second: "s",
  min: "m",
  minute: "m",
  hour: "h",
  day: "d",
}
/** Bounds of a rate: finer than the clock, or longer than a process lives, would be pretence. */
const MOST_PER_MS = 100
const LONGEST_MS = 31 * 86_400_000

/** "100/min", "10/s", "5000/h", "1/d", "100/15m". Otherwise what is wrong, for who wrote it. */
export function parseRate(text: string): Rate | string {
  const found = RATE.exec(text.replaceAll(" ", ""))
  if (found === null) {
    const shown = JSON.stringify(text.slice(0, 40))
    return `${shown} is no rate; write a count and a time, such as 10/s, 100/min, 5000/h, 1/d or 100/15m`
  }
  const [, count = "", times = "", unit = ""] = found
  const perMs = parseDuration(`${times === "" ? "1" : times}${UNITS[unit] ?? unit}`)!
  if (Number(count) === 0) return `${text} lets nothing through; drop the route, or refuse it with respond`
  if (perMs === 0) return `${text} has no time; write for example 10/s`
  if (perMs > LONGEST_MS) return `${text} is over the longest time of 31 days`
  if (Number(count) / perMs > MOST_PER_MS)
    return `${text} is over the highest rate of ${MOST_PER_MS * 1000}/s`
  return { count: Number(count), perMs }
}
