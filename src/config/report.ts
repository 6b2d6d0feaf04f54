import type { Path } from "./problem.ts"

/** Where the cross-checks say what they found. */
export interface Report {
  /** The config cannot work so: it is refused. `value` is what was found, where the message does not hold it. */
  problem(path: Path, message: string, value?: unknown): void
  /** It works, but perhaps not as meant. */
  warning(path: Path, message: string): void
}
