import { constants, type SQLQueryBindings, Database as Sqlite, type Statement } from "bun:sqlite"
import type { Connection, Database, Result } from "./database.ts"
import { type SqlValue, StoreError, type StoreErrorKind } from "./sql.ts"

/** Statements kept prepared; the one not used for longest makes room. */
const MAX_STATEMENTS = 200

/** How long a statement waits for another process that writes unless told. */
const BUSY_TIMEOUT_MS = 5000
/** How much of that within SQLite, which holds up the whole thread; then it is asked again now and then. */
const BLOCKING_MS = 20
const AGAIN_MS = 25

/**
 * SQLite within this thread. `file`: a path, which must be a database already, or ":memory:". Statements are
 * durable when they return: the write-ahead log is synced with each. `busyMs`: how long a statement waits for another
 * process that writes, which does not hold up the thread. Throws StoreError.
 */
export function openSqlite(file: string, busyMs = BUSY_TIMEOUT_MS): Database {
  const sqlite = connectSqlite(file)
  sqlite.run(`PRAGMA busy_timeout = ${BLOCKING_MS}`)
  const connection = new SqliteConnection(sqlite, busyMs)
  return {
    dialect: "sqlite",
    // One for all: a second one in the same thread could only wait for the first.
    connections: 1,
    // A transaction that reads first and writes later could find that it may not.
    begin: "BEGIN IMMEDIATE",
    acquire: () => connection,
    explain: explainSqlite,
    async close() {
      connection.close()
    },
  }
}

/** Opens it with the settings of the store. Throws StoreError. */
export function connectSqlite(file: string): Sqlite {
  let sqlite: Sqlite | undefined
  try {
    const flags = constants.SQLITE_OPEN_READWRITE | (file === ":memory:" ? constants.SQLITE_OPEN_CREATE : 0)
    sqlite = new Sqlite(file, flags)
    // For the settings; nobody else waits yet.
    sqlite.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`)
    sqlite.run("PRAGMA journal_mode = WAL")
    sqlite.run("PRAGMA synchronous = FULL")
    sqlite.run("PRAGMA foreign_keys = ON")
    // What is deleted is overwritten: it may be about people.
    sqlite.run("PRAGMA secure_delete = ON")
    sqlite.run("PRAGMA journal_size_limit = 67108864")
    return sqlite
  } catch (error) {
    sqlite?.close()
    throw explainSqlite(error)
  }
}

class SqliteConnection implements Connection {
  readonly #sqlite: Sqlite
  /** By text, the one used last at the end. */
  readonly #statements = new Map<string, Statement>()
  readonly #busyMs: number

  constructor(sqlite: Sqlite, busyMs: number) {
    this.#sqlite = sqlite
    this.#busyMs = busyMs
  }

  execute(text: string, params: readonly SqlValue[], wantsRows: boolean): Result | Promise<Result> {
    try {
      return this.#execute(text, params, wantsRows)
    } catch (error) {
      // Within a transaction the lock is held already.
      if (this.#sqlite.inTransaction || explainSqlite(error).kind !== "busy") throw error
      return this.#executeAgain(text, params, wantsRows)
    }
  }

  async #executeAgain(text: string, params: readonly SqlValue[], wantsRows: boolean): Promise<Result> {
    const until = performance.now() + this.#busyMs
    for (;;) {
      await Bun.sleep(AGAIN_MS)
      try {
        return this.#execute(text, params, wantsRows)
      } catch (error) {
        if (explainSqlite(error).kind !== "busy" || performance.now() >= until) throw error
      }
    }
  }

  #execute(text: string, params: readonly SqlValue[], wantsRows: boolean): Result {
    const statement = this.#prepared(text)
    if (statement.paramsCount !== params.length)
      throw new StoreError(
        "failed",
        `the statement takes ${statement.paramsCount} values, not ${params.length}`,
      )
    // By name: SQLite numbers $2, $1 in order of appearance.
    const bindings: Record<string, SqlValue> = {}
    for (let i = 0; i < params.length; i++) bindings[`$${i + 1}`] = params[i]!
    const values = bindings as SQLQueryBindings
    if (wantsRows) return { rows: statement.all(values) as object[], changed: 0 }
    return { rows: [], changed: statement.run(values).changes }
  }

  rollBack(): void {
    // SQLite has done so itself when there was no room, for example.
    if (this.#sqlite.inTransaction) this.#sqlite.run("ROLLBACK")
  }

  release(): void {}

  close(): void {
    for (const statement of this.#statements.values()) statement.finalize()
    this.#statements.clear()
    this.#sqlite.close()
  }

  #prepared(text: string): Statement {
    let statement = this.#statements.get(text)
    if (statement === undefined) {
      statement = this.#sqlite.prepare(text)
      if (this.#statements.size >= MAX_STATEMENTS) {
        const [oldest] = this.#statements.keys()
        this.#statements.get(oldest!)!.finalize()
        this.#statements.delete(oldest!)
      }
    } else this.#statements.delete(text)
    this.#statements.set(text, statement)
    return statement
  }
}

/** By primary result code, which is the low byte (sqlite.org/rescode.html). */
const KINDS: Readonly<Record<number, StoreErrorKind>> = {
  5: "busy",
  6: "busy",
  8: "read_only",
  10: "unavailable",
  11: "corrupt",
  13: "full",
  14: "unavailable",
  26: "corrupt",
}
/** SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE, _ROWID; SQLITE_IOERR_SHMSIZE: no room for the index of the log. */
const EXTENDED_KINDS: Readonly<Record<number, StoreErrorKind>> = {
  1555: "conflict",
  2067: "conflict",
  2579: "conflict",
  4874: "full",
}

/** An error of SQLite in the words of the store. */
export function explainSqlite(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  if (!(error instanceof Error)) return new StoreError("failed", `asking SQLite: ${String(error)}`)
  const code = (error as Error & { errno?: number }).errno ?? 0
  const kind = EXTENDED_KINDS[code] ?? KINDS[code & 255] ?? "failed"
  return new StoreError(kind, `asking SQLite: ${error.message} (${code})`)
}
