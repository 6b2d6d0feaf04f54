import type { Clock } from "../lib/clock.ts"
import type { Connection, Database, Result } from "./database.ts"
import { type Sql, type SqlValue, type Store, StoreError, type StoreErrorKind } from "./sql.ts"
import { Turns } from "./turns.ts"

/** How a statement ended; the label of its metric. */
export type QueryOutcome = "ok" | StoreErrorKind

export interface StoreLimits {
  /** Callers that may wait for their turn; the next one gets "busy". */
  readonly maxWaiting: number
  /** How long one waits for its turn before "busy". */
  readonly waitMs: number
  /** How long the work of a transaction may take before it is rolled back, with "failed". */
  readonly transactionMs: number
}

export interface StoreMetering {
  readonly now: Clock
  /** Called once a statement, with the time it took, the wait for its turn included. */
  readonly onQuery: (durationMs: number, outcome: QueryOutcome) => void
  /** Called with what a statement failed of, for the log. */
  readonly onFailure: (error: StoreError) => void
}

type Execute = (text: string, params: readonly SqlValue[], wantsRows: boolean) => Promise<Result>

/** A Store of what a database brings: turns, transactions, time limits and measuring are the same for both. */
export function createStore(database: Database, limits: StoreLimits, metering: StoreMetering): Store {
  const turns = new Turns(database.connections, limits.maxWaiting, limits.waitMs)
  const closed = new StoreError("unavailable", "asking the store: it is closed")
  let closing: Promise<void> | undefined

  async function takeConnection(): Promise<Connection> {
    if (closing !== undefined) throw closed
    await turns.take()
    return database.acquire()
  }

  function giveBack(connection: Connection): void {
    connection.release()
    turns.give()
  }

  const execute: Execute = (text, params, wantsRows) =>
    measure(async () => {
      const connection = await takeConnection()
      try {
        return await connection.execute(text, params, wantsRows)
      } finally {
        giveBack(connection)
      }
    })

  const begin = (): Promise<Connection> =>
    measure(async () => {
      const connection = await takeConnection()
      try {
        await connection.execute(database.begin, [], false)
        return connection
      } catch (error) {
        giveBack(connection)
        throw error
      }
    })

  async function transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const connection = await begin()
    const scope = new Scope(connection)
    const sql = sqlOf((text, params, wantsRows) => measure(() => scope.execute(text, params, wantsRows)))
    try {
      const value = await withinTime(work(sql))
      await scope.end()
      // PostgreSQL would take COMMIT for ROLLBACK here, without a word.
      if (scope.failure !== undefined) throw database.explain(scope.failure)
      await measure(async () => await connection.execute("COMMIT", [], false))
      return value
    } catch (error) {
      await scope.end()
      await connection.rollBack()
      throw error
    } finally {
      giveBack(connection)
    }
  }

  async function withinTime<T>(work: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      const text = `running a transaction: its work took longer than ${limits.transactionMs} ms`
      timer = setTimeout(() => reject(new StoreError("failed", text)), limits.transactionMs)
    })
    try {
      return await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }

  async function measure<T>(act: () => Promise<T>): Promise<T> {
    const startedAt = metering.now()
    try {
      const result = await act()
      metering.onQuery(metering.now() - startedAt, "ok")
      return result
    } catch (error) {
      const known = database.explain(error)
      metering.onQuery(metering.now() - startedAt, known.kind)
      metering.onFailure(known)
      throw known
    }
  }

  return {
    dialect: database.dialect,
    ...sqlOf(execute),
    transaction,
    close() {
      closing ??= turns.drain(closed).then(() => database.close())
      return closing
    },
  }
}

/**
 * The statements of one transaction. They run one after the other, also when `work` does not wait for them. None
 * runs after one that failed (as PostgreSQL has it), nor once the transaction has ended: the connection is somebody
 * else's then.
 */
class Scope {
  readonly #connection: Connection
  #last: Promise<unknown> = Promise.resolve()
  #ended = false
  #failure: unknown

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** What the first statement that failed threw. */
  get failure(): unknown {
    return this.#failure
  }

  execute(text: string, params: readonly SqlValue[], wantsRows: boolean): Promise<Result> {
    const result = this.#last.then(async () => {
      if (this.#ended) throw new StoreError("failed", "asking within a transaction: it has ended")
      if (this.#failure !== undefined)
        throw new StoreError("failed", "asking within a transaction: a statement before has failed")
      try {
        return await this.#connection.execute(text, params, wantsRows)
      } catch (error) {
        this.#failure = error
        throw error
      }
    })
    // Whoever asked is told; here it only matters when it is over.
    this.#last = result.catch(() => undefined)
    return result
  }

  /** No further statement runs; resolves when the last one is done. */
  async end(): Promise<void> {
    this.#ended = true
    await this.#last
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
