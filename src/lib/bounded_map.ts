/**
 * A cache with two bounds: entries, and what they weigh together. At either the oldest entries go. A key that is
 * set again counts as new.
 */
export class BoundedMap<V> {
  readonly #max: number
  readonly #maxWeight: number
  readonly #entries = new Map<string, { readonly value: V; readonly weight: number }>()
  #weight = 0

  /** `maxWeight`: sum of what `set` was told; default: only entries count. */
  constructor(max: number, maxWeight = Number.POSITIVE_INFINITY) {
    this.#max = max
    this.#maxWeight = maxWeight
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): V | undefined {
    return this.#entries.get(key)?.value
  }

  /** The oldest first. */
  keys(): Iterable<string> {
    return this.#entries.keys()
  }

  set(key: string, value: V, weight = 0): void {
    this.delete(key)
    this.#entries.set(key, { value, weight })
    this.#weight += weight
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#max && this.#weight <= this.#maxWeight) return
      this.delete(oldest)
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#weight -= entry.weight
    this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
    this.#weight = 0
  }
}
