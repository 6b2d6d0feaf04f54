/** Since when nothing has moved on a connection, as a sweep that looks now and then can tell. No clock is read in between. */
export class Stillness {
  /** Something has moved. */
  moved = true
  #since = 0

  /** For how long nothing has moved, ms. `at`: the time now. */
  at(at: number): number {
    if (this.moved) this.#since = at
    this.moved = false
    return at - this.#since
  }
}
