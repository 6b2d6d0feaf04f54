import { MAX_IDS } from "./series.ts"

/** What a label can name. The id spaces are separate. */
export type LabelKind = "route" | "service" | "instance" | "limit"

/** Id of everything that came after the directory was full; its label is "other". */
export const OTHER = 0
/** Route id of requests no route matched; its label is "unmatched". */
export const UNMATCHED = 1

/**
 * Small numbers for the names that may stand in a metric's label, kept by the control plane. A label keeps its
 * number for the life of the process, across reloads, so that counters go on. At most 16,384 labels a kind:
 * later ones share the number 0, "other". Only names from config come in here, never what a client sent.
 */
export class LabelDirectory {
  readonly #kinds: Readonly<Record<LabelKind, { ids: Map<string, number>; labels: string[] }>> = {
    route: { ids: new Map(), labels: ["other", "unmatched"] },
    service: { ids: new Map(), labels: ["other"] },
    instance: { ids: new Map(), labels: ["other"] },
    limit: { ids: new Map(), labels: ["other"] },
  }

  /** The number of a label: the one it has, else the next. Instances: see `instanceLabel`. */
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
