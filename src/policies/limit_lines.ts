const KEPT = 64

interface Said {
  readonly remaining: number
  readonly resetS: number
  readonly lines: string
}

/**
 * What the limit of one bucket has said lately, by the numbers in it: at most 64 texts. Numbers that share a place take
 * it from each other.
 */
export class LimitLines {
  readonly #kept: (Said | undefined)[] = []

  /** `undefined`: it is not kept. */
  find(remaining: number, resetS: number): string | undefined {
    const said = this.#kept[placeOf(remaining, resetS)]
    return said?.remaining === remaining && said.resetS === resetS ? said.lines : undefined
  }

  keep(remaining: number, resetS: number, lines: string): void {
    this.#kept[placeOf(remaining, resetS)] = { remaining, resetS, lines }
  }
}

const placeOf = (remaining: number, resetS: number): number => (remaining + resetS * 7) & (KEPT - 1)
