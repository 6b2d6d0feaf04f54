import type { Clock } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import type { Database } from "./database.ts"
import { migrate } from "./migrate.ts"
import { type Store, StoreError } from "./sql.ts"
import { openSqlite } from "./sqlite.ts"
import { prepareSqliteFile } from "./sqlite_file.ts"
import { createStore, type QueryOutcome } from "./store.ts"
import { parseStoreUrl, type StoreUrl } from "./store_url.ts"

export interface StoreDeps {
  readonly log: Log
  /** For the time statements take. */
  readonly now: Clock
  /** Milliseconds since the epoch, for the records of migrations. Default: Date.now. */
  readonly wallClock?: () => number
  /** Called once a statement, with its time in ms, the wait for its turn included. For metrics. */
  readonly onQuery: (durationMs: number, outcome: QueryOutcome) => void
  /** Connections to PostgreSQL; default 10. */
  readonly poolSize?: number
  /** Time to connect to PostgreSQL; default 5000. */
  readonly connectTimeoutMs?: number
  /** Time a statement may take in PostgreSQL; default 5000. In SQLite statements cannot be interrupted. */
  readonly statementTimeoutMs?: number
  /** Callers that may wait for their turn, default 1000; the next one gets "busy". */
  readonly maxWaiting?: number
  /** How long they wait before "busy"; default 5000. */
  readonly waitMs?: number
  /** Time a transaction may take before it is rolled back, with "failed"; default 10,000. */
  readonly transactionMs?: number
}

/**
 * Opens the store at `sqlite:FILE`, `sqlite::memory:`, `postgres://…` or `postgresql://…` and brings its schema up to
 * date. Rejects with StoreError: a database that is damaged, cannot be reached or written, or is newer than this
 * program is never replaced by an empty one.
 */
export async function openStore(url: string, deps: StoreDeps): Promise<Store> {
  const target = parseStoreUrl(url)
  if (typeof target === "string") throw new StoreError("failed", `opening the store: ${target}`)
  const limits = {
    maxWaiting: deps.maxWaiting ?? 1000,
    waitMs: deps.waitMs ?? 5000,
    transactionMs: deps.transactionMs ?? 10_000,
  }
  const store = createStore(openDatabase(target), limits, deps)
  try {
    const applied = await migrate(store, deps.wallClock ?? Date.now)
    if (applied.length > 0) deps.log.info("store.migrated", { dialect: store.dialect, steps: applied })
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

function openDatabase(target: StoreUrl): Database {
  if (target.kind === "postgres") throw new StoreError("failed", "opening the store: PostgreSQL")
  if (target.file !== ":memory:") prepareSqliteFile(target.file)
  return openSqlite(target.file)
}
