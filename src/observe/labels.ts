import { MAX_IDS } from "./series.ts"

/** What a label can name. The id spaces are separate. */
export type LabelKind = "route" | "service" | "instance" | "limit"

/** Id of everything that came after the directory was full; its label is "other". */
export const OTHER = 0
/** Route id of requests no route matched; its label is "unmatched". */
export const UNMATCHED = 1

/**
 * The number of an instance that has left is another's after so long: what workers still set for it is zero by then.
 */
const REUSED_AFTER_MS = 60_000

/**
 * Small numbers for the names that may stand in a metric's label, kept by the control plane. A label keeps its
 * number for the life of the process, across reloads, so that counters go on; only instances, which have gauges
 * alone, come and go without end, and give theirs back. At most 16,384 labels a kind: later ones share the number 0,
 * "other". Only names from config and of instances come in here, never what a client sent.
 */
export class LabelDirectory {
  readonly #kinds: Readonly<Record<LabelKind, { ids: Map<string, number>; labels: string[] }>> = {
    route: { ids: new Map(), labels: ["other", "unmatched"] },
    service: { ids: new Map(), labels: ["other"] },
    instance: { ids: new Map(), labels: ["other"] },
    limit: { ids: new Map(), labels: ["other"] },
  }

  /** Numbers of instances that have left, by label; the first to leave first. */
  readonly #left = new Map<string, { readonly id: number; readonly at: number }>()
  readonly #leftIds = new Set<number>()

  /**
   * The numbers of these instances, by label (see `instanceLabel`). All others have left: they have no series until
   * they are back. `now`: monotonic, in ms.
   */
  instances(labels: readonly string[], now: number): Record<string, number> {
    const { ids } = this.#kinds.instance
    const found: Record<string, number> = Object.create(null)
    for (const label of labels) found[label] = OTHER
    for (const [label, id] of ids) {
      if (found[label] !== undefined) continue
      ids.delete(label)
      this.#left.set(label, { id, at: now })
      this.#leftIds.add(id)
    }
    // Who is back has its own number, if nobody else has it yet.
    for (const label of labels) this.#take(label, this.#left.get(label) && label)
    for (const label of labels) {
      if (!ids.has(label)) this.#take(label, this.#longGone(now))
      found[label] = this.id("instance", label)
    }
    return found
  }

  /** Whether an instance's number is of one that has left. */
  hasLeft(id: number): boolean {
    return this.#leftIds.has(id)
  }

  /** Gives a label the number another had; `undefined`: nobody's. */
  #take(label: string, from: string | undefined): void {
    if (from === undefined) return
    const { id } = this.#left.get(from)!
    this.#left.delete(from)
    this.#leftIds.delete(id)
    this.#kinds.instance.labels[id] = label
    this.#kinds.instance.ids.set(label, id)
  }

  #longGone(now: number): string | undefined {
    for (const [label, { at }] of this.#left) return now - at >= REUSED_AFTER_MS ? label : undefined
    return undefined
  }

  /** The number of a label: the one it has, else the next. */
  id(kind: LabelKind, label: string): number {
    const { ids, labels } = this.#kinds[kind]
    const known = ids.get(label)
    if (known !== undefined) return known
    if (labels.length >= MAX_IDS) return OTHER
    const id = labels.push(label) - 1
    ids.set(label, id)
    return id
  }

  /** The label of a number; "other" for a number never given out. */
  label(kind: LabelKind, id: number): string {
    return this.#kinds[kind].labels[id] ?? "other"
  }
}

/** The directory's label of an instance: service names have no space, so it can be taken apart again. */
export function instanceLabel(service: string, address: string): string {
  return `${service} ${address}`
}

/** Service and address of an instance's label. */
export function splitInstanceLabel(label: string): readonly [service: string, address: string] {
  const space = label.indexOf(" ")
  return space < 0 ? [label, label] : [label.slice(0, space), label.slice(space + 1)]
}
