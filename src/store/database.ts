import type { SqlValue, Store, StoreError } from "./sql.ts"

/** What a statement came to. */
export interface Result {
  readonly rows: readonly object[]
  /** Rows inserted, updated or deleted; 0 for a statement that reads. */
  readonly changed: number
}

/** What one of the two databases has to bring; `createStore` makes a Store of it. */
export interface Database {
  readonly dialect: Store["dialect"]
  /** Connections that may be used at once. */
  readonly connections: number
  /** How a transaction begins that is sure to be able to write. */
  readonly begin: string
  /** A connection nobody uses until it is released. Never more than `connections` are asked for. */
  acquire(): Connection
  /** A thrown thing of this database in the words of the store. */
  explain(error: unknown): StoreError
  close(): Promise<void>
}

/** Used by one caller at a time, one statement at a time. */
export interface Connection {
  /** `wantsRows`: otherwise only `changed` is of interest. Throws or rejects with anything `explain` knows. */
  execute(text: string, params: readonly SqlValue[], wantsRows: boolean): Result | Promise<Result>
  /** Ends a transaction that shall not be; never fails. */
  rollBack(): void | Promise<void>
  /** Gives it back; not to be used after that. */
  release(): void
}
