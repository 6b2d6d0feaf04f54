import type { SQL } from "bun"
import type { Connection, Database, Result } from "./database.ts"
import { explainPostgres } from "./postgres_error.ts"
import { type SqlValue, StoreError } from "./sql.ts"

export interface PostgresOptions {
  /** Connections at once; more are asked for never. */
  readonly poolSize: number
  readonly connectTimeoutMs: number
  /** Time of a statement: the server ends it then. */
  readonly statementTimeoutMs: number
  /** Time the server lets a transaction be idle before it ends the connection. */
  readonly transactionMs: number
}

/** How long a server that should have ended a statement is given to say so, before it counts as lost. */
const GRACE_MS = 1000

/** An idle connection is closed after this: firewalls forget such ones without a word. */
const IDLE_SECONDS = 60

/** PostgreSQL through Bun's SQL. Connects when first asked. */
export function openPostgres(url: string, options: PostgresOptions): Database {
  const pool = new PostgresPool(url, options)
  return {
    dialect: "postgres",
    connections: options.poolSize,
    begin: "BEGIN",
    acquire: () => pool.acquire(),
    explain: explainPostgres,
    close: () => pool.close(),
  }
}

/** Connections nobody uses now, the one used last at the end. */
class PostgresPool {
  readonly #url: string
  readonly #options: PostgresOptions
  readonly #idle: PostgresConnection[] = []

  constructor(url: string, options: PostgresOptions) {
    this.#url = url
    this.#options = options
  }

  acquire(): PostgresConnection {
    for (;;) {
      const idle = this.#idle.pop()
      if (idle === undefined) return new PostgresConnection(this.#url, this.#options, this)
      if (!idle.lost) return idle
      idle.discard()
    }
  }

  /** Takes a connection back. */
  release(connection: PostgresConnection): void {
    if (!connection.lost) {
      this.#idle.push(connection)
      return
    }
    connection.discard()
    // The server they all lead to may be gone: let the next caller find out by connecting.
    for (const idle of this.#idle.splice(0)) idle.discard()
  }

  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((each) => each.end()))
  }
}

/**
 * One connection. It is a pool of one to Bun, which would connect again by itself, in the midst of a transaction
 * too: what has closed is therefore never used again.
 */
class PostgresConnection implements Connection {
  readonly #sql: SQL
  readonly #options: PostgresOptions
  readonly #pool: PostgresPool
  #connected = false
  #lost = false

  constructor(url: string, options: PostgresOptions, pool: PostgresPool) {
    this.#options = options
    this.#pool = pool
    // Not imported: the bundle would load it at every start, with or without PostgreSQL: 7 ms.
    this.#sql = new Bun.SQL({
      url,
      // Otherwise $PGDATABASE would be used.
      database: decodeURIComponent(new URL(url).pathname.slice(1)),
      max: 1,
      bigint: true,
      idleTimeout: IDLE_SECONDS,
      connectionTimeout: Math.ceil(options.connectTimeoutMs / 1000),
      connection: {
        application_name: "gatehouse",
        statement_timeout: options.statementTimeoutMs,
        idle_in_transaction_session_timeout: options.transactionMs + GRACE_MS,
      },
      onclose: () => {
        this.#lost = true
      },
    })
  }

  /** Whether it has closed or is in a state nobody knows. */
  get lost(): boolean {
    return this.#lost
  }

  async execute(text: string, params: readonly SqlValue[], wantsRows: boolean): Promise<Result> {
    if (this.#lost) throw new StoreError("unavailable", "asking PostgreSQL: the connection was lost")
    try {
      if (!this.#connected) {
        await this.#within(this.#sql.connect(), this.#options.connectTimeoutMs, "connecting to PostgreSQL")
        this.#connected = true
      }
      const query = this.#sql.unsafe(text, params as SqlValue[])
      const limitMs = this.#options.statementTimeoutMs + GRACE_MS
      const result = await this.#within(query, limitMs, "asking PostgreSQL")
      return { rows: wantsRows ? result.map(toPortable) : [], changed: result.affectedRows }
    } catch (error) {
      const { kind } = explainPostgres(error)
      // A server that has become a standby is left too: its name may lead to the new primary.
      if (kind === "unavailable" || kind === "read_only") this.#lost = true
      throw error
    }
  }

  async rollBack(): Promise<void> {
    if (this.#lost) return
    try {
      await this.execute("ROLLBACK", [], false)
    } catch {
      // The server does so itself when it is discarded.
      this.#lost = true
    }
  }

  release(): void {
    this.#pool.release(this)
  }

  /** Closes it without waiting for anything. */
  discard(): void {
    this.#lost = true
    // What is still under way is told so; there is nobody left to tell.
    void this.#sql.close({ timeout: 0 }).catch(() => undefined)
  }

  /** Closes it when its last statement is done. */
  async end(): Promise<void> {
    await this.#sql.close({ timeout: 1 })
  }

  async #within<T>(promise: PromiseLike<T>, limitMs: number, doing: string): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#lost = true
        reject(new StoreError("unavailable", `${doing}: no answer within ${limitMs} ms`))
      }, limitMs)
    })
    try {
      return await Promise.race([promise, late])
    } finally {
      clearTimeout(timer)
    }
  }
}

/** As SQLite gives it: numbers for integers, plain bytes. Changes the row. */
function toPortable(row: Record<string, unknown>): object {
  for (const name in row) {
    const value = row[name]
    if (typeof value === "bigint") row[name] = Number(value)
    else if (Buffer.isBuffer(value)) row[name] = new Uint8Array(value)
  }
  return row
}
