import type { Clock } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import type { Database } from "./database.ts"
import { createFailureLog } from "./failure_log.ts"
import { migrate } from "./migrate.ts"
import { openPostgres } from "./postgres.ts"
import { type Store, StoreError } from "./sql.ts"
import { openSqlite } from "./sqlite.ts"
import { prepareSqliteFile } from "./sqlite_file.ts"
import { createStore, type QueryOutcome } from "./store.ts"
import { parseStoreUrl } from "./store_url.ts"

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
  /**
   * Time a statement may take in PostgreSQL; default 5000. In SQLite statements cannot be interrupted: it is the
   * time one waits for another process that writes.
   */
  readonly statementTimeoutMs?: number
  /** Callers that may wait for their turn, default 1000; the next one gets "busy". */
  readonly maxWaiting?: number
  /** How long they wait before "busy"; default 5000. */
  readonly waitMs?: number
  /** Time the work of a transaction may take before it is rolled back, with "failed"; default 10,000. */
  readonly transactionMs?: number
  /** Time one statement of a migration, or the wait for another process that migrates, may take; default 60,000. */
  readonly migrationMs?: number
}

/**
 * Opens the store at `sqlite:FILE`, `sqlite::memory:`, `postgres://…` or `postgresql://…` and brings its schema up to
 * date. Rejects with StoreError: a database that is damaged, cannot be reached or written, or is newer than this
 * program is never replaced by an empty one.
 */
export async function openStore(url: string, deps: StoreDeps): Promise<Store> {
  const metering = { ...deps, onFailure: createFailureLog(deps.log, deps.now) }
  const target = parseStoreUrl(url)
  if (typeof target === "string") throw new StoreError("failed", `opening the store: ${target}`)
  const transactionMs = deps.transactionMs ?? 10_000
  const limits = { maxWaiting: deps.maxWaiting ?? 1000, waitMs: deps.waitMs ?? 5000, transactionMs }
  const migrationMs = deps.migrationMs ?? 60_000
  const connectTimeoutMs = deps.connectTimeoutMs ?? 5000
  if (target.kind === "sqlite") {
    if (target.file !== ":memory:") prepareSqliteFile(target.file)
    const database = openSqlite(target.file, deps.statementTimeoutMs)
    try {
      await bringUpToDate(database, migrationMs, deps)
      return createStore(database, limits, metering)
    } catch (error) {
      await database.close()
      throw error
    }
  }
  // A migration may take longer than any other statement: it has a connection of its own.
  const migrating = {
    poolSize: 1,
    connectTimeoutMs,
    statementTimeoutMs: migrationMs,
    transactionMs: migrationMs,
  }
  const once = openPostgres(target.url, migrating)
  try {
    await bringUpToDate(once, migrationMs, deps)
  } catch (error) {
    const { kind, message } = once.explain(error)
    const { host, pathname } = new URL(target.url)
    throw new StoreError(kind, `opening the store at ${host}${pathname}: ${message}`)
  } finally {
    await once.close()
  }
  const statementTimeoutMs = deps.statementTimeoutMs ?? 5000
  const options = { poolSize: deps.poolSize ?? 10, connectTimeoutMs, statementTimeoutMs, transactionMs }
  return createStore(openPostgres(target.url, options), limits, metering)
}

async function bringUpToDate(database: Database, migrationMs: number, deps: StoreDeps): Promise<void> {
  const limits = { maxWaiting: 0, waitMs: 0, transactionMs: 2 * migrationMs }
  // Its statements would spoil the metrics of requests; what fails is told by rejecting.
  const store = createStore(database, limits, {
    now: deps.now,
    onQuery: () => undefined,
    onFailure: () => undefined,
  })
  const steps = await migrate(store, deps.wallClock ?? Date.now)
  if (steps.length > 0) deps.log.info("store.migrated", { dialect: database.dialect, steps })
}
