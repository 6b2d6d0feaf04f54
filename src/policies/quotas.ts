import type { QuotaState, QuotaTake, QuotaUnits } from "../store/quota_usage.ts"

/** What came of asking for units of several quotas: all were taken, or none. */
export interface QuotaAnswer {
  readonly kind: "quota"
  /** Index of the quota that has not enough left; -1: all were taken. */
  readonly refusing: number
  /** Of each quota asked for; when one refuses, those after it are missing. */
  readonly states: readonly QuotaState[]
}

/** What quotas need of the thread they run in. */
export interface Quotas {
  /** Takes from all, or from none. Never rejects; `undefined`: it cannot be told, and nothing may be used. */
  take(takes: readonly QuotaTake[]): Promise<QuotaAnswer | undefined>
  /** Gives back in the background. What cannot be given back stays used. */
  giveBack(units: readonly QuotaUnits[]): void
}
