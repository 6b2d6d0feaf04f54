/** Where a command writes: standard output for what was asked for, standard error for all else. */
export interface Output {
  out(text: string): void
  err(text: string): void
}

/** Exit codes, as the README promises them. */
export const EXIT = { fine: 0, usage: 1, cannotStart: 2 } as const
