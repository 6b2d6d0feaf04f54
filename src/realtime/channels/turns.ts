/** Does work of one key one after another, in the order it was asked for. As many keys as there is work under way. */
export class Turns<R> {
  readonly #last = new Map<string, Promise<R>>()

  async inTurn(key: string, work: () => Promise<R>): Promise<R> {
    const before = this.#last.get(key)
    const mine = before === undefined ? work() : before.then(work, work)
    this.#last.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
  }
}
