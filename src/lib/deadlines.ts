interface Deadline<T> {
  readonly at: number
  readonly item: T
}

/** What falls due, the earliest first: a binary heap by time. As large as what is put in; whoever does so bounds it. */
export class Deadlines<T> {
  #heap: Deadline<T>[] = []

  get size(): number {
    return this.#heap.length
  }

  add(at: number, item: T): void {
    const heap = this.#heap
    let place = heap.length
    heap.push({ at, item })
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (heap[parent]!.at <= at) break
      this.#swap(place, parent)
      place = parent
    }
  }

  /** Takes the earliest out if it falls due at `now` or before; `undefined`: none does. */
  next(now: number): T | undefined {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined || first.at > now) return undefined
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      this.#sink()
    }
    return first.item
  }

  clear(): void {
    this.#heap = []
  }

  #sink(): void {
    const heap = this.#heap
    for (let place = 0; ; ) {
      let least = place
      for (let child = 2 * place + 1; child <= 2 * place + 2 && child < heap.length; child++)
        if (heap[child]!.at < heap[least]!.at) least = child
      if (least === place) return
      this.#swap(place, least)
      place = least
    }
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap
    const kept = heap[a]!
    heap[a] = heap[b]!
    heap[b] = kept
  }
}
