const KEPT = 64

/** What the limit of one bucket has said lately, by the numbers in it: at most 64 texts. */
export class LimitLines {
  readonly #remaining: number[] = []
  readonly #resetS: number[] = []
  readonly #lines: string[] = []

  find(remaining: number, resetS: number): string | undefined {
    const at = (remaining + resetS * 7) & (KEPT - 1)
    return this.#remaining[at] === remaining && this.#resetS[at] === resetS ? this.#lines[at] : undefined
  }

  keep(remaining: number, resetS: number, lines: string): void {
    if (this.#lines.length === 0) {
      this.#remaining.push(...new Array<number>(KEPT).fill(-1))
      this.#resetS.push(...new Array<number>(KEPT).fill(-1))
      this.#lines.push(...new Array<string>(KEPT).fill(""))
    }
    const at = (remaining + resetS * 7) & (KEPT - 1)
    this.#remaining[at] = remaining
    this.#resetS[at] = resetS
    this.#lines[at] = lines
  }
}
