/** Classes of requests, the most important first: the index is `exchange.priority`. */
export const PRIORITIES = ["critical", "high", "normal", "low"] as const
export type PriorityClass = (typeof PRIORITIES)[number]

/** Index in `PRIORITIES`: a smaller one is more important. */
export type Priority = 0 | 1 | 2 | 3

export const CRITICAL: Priority = 0
/** Of requests of which nothing else is said. */
export const NORMAL: Priority = 2

/** The index of a class. */
export function priorityOf(name: PriorityClass): Priority {
  return PRIORITIES.indexOf(name) as Priority
}
