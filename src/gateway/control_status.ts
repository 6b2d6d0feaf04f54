import type { Problem } from "../config/problem.ts"
import type { ServiceView } from "../upstream/describe.ts"
import type { WorkerStatus } from "./supervisor.ts"

/** For people: how the gateway is. */
export interface ControlStatus {
  readonly generation: number
  readonly uptime_s: number
  readonly draining: boolean
  readonly port: number
  readonly workers: readonly WorkerStatus[]
  readonly worker_restarts: number
  readonly services: readonly ServiceView[]
}

/** What came of reading the configuration again. */
export type ReloadOutcome =
  | { readonly result: "applied"; readonly generation: number; readonly restartNeeded: readonly string[] }
  | { readonly result: "rejected"; readonly problems: readonly Problem[] }
