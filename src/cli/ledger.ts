import type { Config } from "../config/schema.ts"
import type { Ledger } from "../gateway/control_options.ts"
import { QuotaKeeper } from "../gateway/quota_keeper.ts"
import type { After } from "../gateway/supervisor.ts"
import { UsageKeeper } from "../gateway/usage_keeper.ts"
import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import { sweepEvents } from "../store/events.ts"
import { type Store, StoreError } from "../store/sql.ts"

const SWEEP_MS = 60_000
const DAY_MS = 86_400_000
/** How long usage is kept when config says nothing of it any more. */
const RETENTION_MS = 400 * DAY_MS

export interface LedgerDeps {
  readonly store: Store
  readonly wallClock: () => number
  readonly after: After
  readonly counts: Counts
  readonly log: Log
  /** The config in force. */
  readonly config: () => Config
}

export interface OpenLedger extends Ledger {
  /** Writes what is left; before the store is closed. */
  close(): Promise<void>
}

/** What callers have used, in this store; old entries are deleted about once a minute. */
export function openLedger(deps: LedgerDeps): OpenLedger {
  const quotas = new QuotaKeeper(deps)
  const usage = new UsageKeeper(deps)
  let closed = false
  let sweeping: Promise<void> | undefined
  let cancel = deps.after(SWEEP_MS, sweep)

  function sweep(): void {
    sweeping = sweepNow().finally(() => {
      if (!closed) cancel = deps.after(SWEEP_MS, sweep)
    })
  }

  async function sweepNow(): Promise<void> {
    try {
      await quotas.sweep()
      await sweepEvents(deps.store, deps.wallClock())
      await usage.sweep(deps.config().usage?.retention ?? RETENTION_MS)
    } catch (error) {
      deps.log.error("store.unavailable", {
        kind: error instanceof StoreError ? error.kind : "failed",
        error,
      })
    }
  }

  return {
    quotas,
    usage,
    async close() {
      closed = true
      cancel()
      await Promise.all([sweeping, quotas.close(), usage.close()])
    },
  }
}
