/** What a statement takes and gives. Integers beyond 2^53 are not supported; there are no booleans and no dates. */
export type SqlValue = string | number | null | Uint8Array

/** Statements in the portable SQL of both databases, one a call. Every method rejects with a `StoreError`. */
export interface Sql {
  /**
   * All rows, with column names as written. Placeholders are $1, $2, …; one may be used twice. Integers come as
   * numbers, BLOB as Uint8Array. `sum()` needs `CAST(sum(x) AS BIGINT)`, as PostgreSQL makes a decimal of it.
   */
  all<R extends object>(text: string, params?: readonly SqlValue[]): Promise<readonly R[]>
  /** The first row; undefined: there is none. */
  get<R extends object>(text: string, params?: readonly SqlValue[]): Promise<R | undefined>
  /** Number of rows inserted, updated or deleted. */
  run(text: string, params?: readonly SqlValue[]): Promise<number>
}

export interface Store extends Sql {
  readonly dialect: "sqlite" | "postgres"
  /**
   * All or nothing. `work` uses only the Sql it is given, and waits for nothing but it: other statements may have
   * to wait until it is done. Rejects with what `work` rejected with, or with a StoreError. No nesting. A statement
   * that fails ends it, also when `work` goes on: where a row may be there already, write `ON CONFLICT DO NOTHING`.
   *
   * SQLite runs one transaction at a time. PostgreSQL runs them side by side (READ COMMITTED), so what was read may
   * have changed when it is written: let the write carry the condition (`UPDATE … WHERE used_at IS NULL`) and look
   * at its count. After "unavailable" it is not known whether the last step, the commit, took place.
   */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>
  /** Waits for what is under way; later calls reject with "unavailable". */
  close(): Promise<void>
}

/**
 * - `unavailable`: the database cannot be reached, or was lost; later calls may succeed
 * - `conflict`: a row with this key exists
 * - `busy`: too many callers, or others hold what this one needs; trying again may help
 * - `full`: no room on the disk
 * - `read_only`: the file or its file system cannot be written
 * - `corrupt`: the file is damaged or no database; an operator must restore it
 * - `failed`: a bug in the statement, or anything else
 */
export type StoreErrorKind = "unavailable" | "conflict" | "busy" | "full" | "read_only" | "corrupt" | "failed"

/** Its message names no values of statements and no passwords. */
export class StoreError extends Error {
  readonly kind: StoreErrorKind

  constructor(kind: StoreErrorKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = "StoreError"
    this.kind = kind
  }
}
