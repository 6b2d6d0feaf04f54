import { SERIES } from "./catalogue.ts"
import { PRIORITIES, type Priority } from "./priority.ts"
import { type Series, seriesKey } from "./series.ts"

/** Why a request was refused for load, by index (below 4). */
export const SHED_REASONS = ["concurrency", "lag", "memory"] as const
export type ShedReason = (typeof SHED_REASONS)[number]

/** Small number of a class and a reason; the exposition takes it apart. */
const smallOf = (priority: number, reason: number): number => (priority << 2) | reason

/** Class and reason of a small number. */
export function shedLabels(small: number): { class: string; reason: string } {
  return { class: PRIORITIES[small >> 2] ?? "other", reason: SHED_REASONS[small & 3] ?? "other" }
}

/** Counts the requests one thread refuses for load, with the slots found beforehand. */
export function countShed(series: Series): (priority: Priority, reason: ShedReason) => void {
  const slots = PRIORITIES.map((_, priority) =>
    SHED_REASONS.map((_reason, reason) => series.slot(seriesKey(SERIES.shed, 0, smallOf(priority, reason)))),
  )
  return (priority, reason) => series.addAt(slots[priority]![SHED_REASONS.indexOf(reason)]!, 1)
}
