/** A place in a chain. */
export interface Link<T> {
  readonly item: T
  before: Link<T> | undefined
  after: Link<T> | undefined
}

/** Things in a row, of which any can be taken out at once. As long as what is put in; whoever does so bounds it. */
export class Chain<T> {
  #first: Link<T> | undefined
  #last: Link<T> | undefined

  get first(): T | undefined {
    return this.#first?.item
  }

  get last(): T | undefined {
    return this.#last?.item
  }

  /** Puts it at the end. What comes back takes it out. */
  append(item: T): Link<T> {
    const link: Link<T> = { item, before: this.#last, after: undefined }
    if (this.#last === undefined) this.#first = link
    else this.#last.after = link
    this.#last = link
    return link
  }

  /** A link of this chain, which must not have been taken out yet. */
  remove({ before, after }: Link<T>): void {
    if (before === undefined) this.#first = after
    else before.after = after
    if (after === undefined) this.#last = before
    else after.before = before
  }

  /** Takes the first out. */
  shift(): T | undefined {
    const link = this.#first
    if (link !== undefined) this.remove(link)
    return link?.item
  }

  /** Takes the last out. */
  pop(): T | undefined {
    const link = this.#last
    if (link !== undefined) this.remove(link)
    return link?.item
  }
}
