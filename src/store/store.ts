import type { Clock } from "../lib/clock.ts"
import type { Connection, Database, Result } from "./database.ts"
import { type Sql, type SqlValue, type Store, StoreError, type StoreErrorKind } from "./sql.ts"
import { Turns } from "./turns.ts"

/** How a statement ended; the label of its metric. */
export const QUERY_OUTCOMES = [
  "ok",
  "unavailable",
  "conflict",
  "busy",
  "full",
  "read_only",
  "corrupt",
  "failed",
] as const satisfies readonly ("ok" | StoreErrorKind)[]
export type QueryOutcome = (typeof QUERY_OUTCOMES)[number]

export interface StoreLimits {
  /** Callers that may wait for their turn; the next one gets "busy". */
  readonly maxWaiting: number
  /** How long one waits for its turn before "busy". */
  readonly waitMs: number
  /** How long a transaction may take before it is rolled back, with "failed". */
  readonly transactionMs: number
}

export interface StoreMetering {
  readonly now: Clock
  /** Called once a statement, with the time it took, the wait for its turn included. */
  readonly onQuery: (durationMs: number, outcome: QueryOutcome) => void
}

type Execute = (text: string, params: readonly SqlValue[], wantsRows: boolean) => Promise<Result>

/** A Store of what a database brings: turns, transactions, time limits and measuring are the same for both. */
export function createStore(database: Database, limits: StoreLimits, metering: StoreMetering): Store {
  const turns = new Turns(database.connections, limits.maxWaiting, limits.waitMs)
  const closed = new StoreError("unavailable", "asking the store: it is closed")
  let closing: Promise<void> | undefined

  async function takeTurn(): Promise<void> {
    if (closing !== undefined) throw closed
    // Without a promise when nobody is before: a caller that does not wait must find its statement done.
    if (!turns.tryTake()) await turns.take()
  }

  const execute: Execute = async (text, params, wantsRows) => {
    await takeTurn()
    const connection = database.acquire()
    try {
      return await connection.execute(text, params, wantsRows)
    } finally {
      connection.release()
      turns.give()
    }
  }

  async function transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    await explained(takeTurn)
    const connection = database.acquire()
    const scope = openScope(connection)
    try {
      await explained(async () => await connection.execute(database.begin, [], false))
      const value = await withinTime(work(sqlOf(measured(scope.execute))))
      await scope.end()
      await measured(async () => await connection.execute("COMMIT", [], false))("COMMIT", [], false)
      return value
    } catch (error) {
      await scope.end()
      await connection.rollBack()
      throw error
    } finally {
      connection.release()
      turns.give()
    }
  }

  async function withinTime<T>(work: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      const text = `running a transaction: it took longer than ${limits.transactionMs} ms`
      timer = setTimeout(() => reject(new StoreError("failed", text)), limits.transactionMs)
    })
    try {
      return await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }

  async function explained<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (error) {
      throw database.explain(error)
    }
  }

  function measured(act: Execute): Execute {
    return async (text, params, wantsRows) => {
      const startedAt = metering.now()
      try {
        const result = await act(text, params, wantsRows)
        metering.onQuery(metering.now() - startedAt, "ok")
        return result
      } catch (error) {
        const known = database.explain(error)
        metering.onQuery(metering.now() - startedAt, known.kind)
        throw known
      }
    }
  }

  return {
    dialect: database.dialect,
    ...sqlOf(measured(execute)),
    transaction,
    close() {
      closing ??= turns.drain(closed).then(() => database.close())
      return closing
    },
  }
}

/**
 * The statements of one transaction. They run one after the other, also when `work` does not wait for them, and
 * none runs once it has ended: a connection is somebody else's then.
 */
function openScope(connection: Connection): { execute: Execute; end(): Promise<void> } {
  let last: Promise<unknown> = Promise.resolve()
  let ended = false
  const execute: Execute = (text, params, wantsRows) => {
    const run = async (): Promise<Result> => {
      if (ended) throw new StoreError("failed", "asking within a transaction: it has ended")
      return await connection.execute(text, params, wantsRows)
    }
    const result = last.then(run)
    last = result.catch(() => undefined)
    return result
  }
  return {
    execute,
    async end() {
      ended = true
      await last
    },
  }
}

function sqlOf(execute: Execute): Sql {
  return {
    async all<R extends object>(text: string, params: readonly SqlValue[] = []) {
      return (await execute(text, params, true)).rows as readonly R[]
    },
    async get<R extends object>(text: string, params: readonly SqlValue[] = []) {
      return (await execute(text, params, true)).rows[0] as R | undefined
    },
    async run(text: string, params: readonly SqlValue[] = []) {
      return (await execute(text, params, false)).changed
    },
  }
}
