import type { Log } from "../../src/observe/log.ts"
import { openStore, type StoreDeps } from "../../src/store/open.ts"
import { type Sql, type Store, StoreError } from "../../src/store/sql.ts"

/** A log that nobody reads. */
export const NO_LOG: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** What a store needs, with nothing measured; `overrides` say what a test is about. */
export function storeDeps(overrides: Partial<StoreDeps> = {}): StoreDeps {
  return { log: NO_LOG, now: () => performance.now(), onQuery: () => undefined, ...overrides }
}

const opened = new Set<Store>()

/** Opens a store that `closeStores` closes. */
export async function open(url: string, overrides: Partial<StoreDeps> = {}): Promise<Store> {
  const store = await openStore(url, storeDeps(overrides))
  opened.add(store)
  return store
}

/** Closes what a test has left open. For `afterEach`. */
export async function closeStores(): Promise<void> {
  const all = [...opened]
  opened.clear()
  await Promise.all(all.map((store) => store.close()))
}

/** The StoreError something rejects with; throws when it does not. */
export async function storeErrorOf(promise: Promise<unknown>): Promise<StoreError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
  throw new Error("it did not fail")
}

/** A transaction that has begun and waits: `end` lets it commit. */
export async function openTransaction(store: Store): Promise<{ sql: Sql; end(): Promise<void> }> {
  const begun = Promise.withResolvers<Sql>()
  const end = Promise.withResolvers<void>()
  const done = store.transaction(async (sql) => {
    begun.resolve(sql)
    await end.promise
  })
  const sql = await Promise.race([begun.promise, done.then(() => begun.promise)])
  return {
    sql,
    end() {
      end.resolve()
      return done
    },
  }
}
