/** Time that stands still until a test moves it. */
export class FakeTime {
  #now = 0
  #timers: { at: number; run: () => void }[] = []

  readonly now = (): number => this.#now

  /** Runs `run` once when the time has moved by `ms`; what it returns takes it back. */
  readonly after = (ms: number, run: () => void): (() => void) => {
    const timer = { at: this.#now + ms, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer)
    }
  }

  /** Moves on by `ms`, running what falls due in order. */
  pass(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const due = this.#timers.filter((each) => each.at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((each) => each !== due)
      this.#now = due.at
      due.run()
    }
    this.#now = end
  }
}
