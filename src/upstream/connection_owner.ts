import type { Address } from "./address.ts"

/** What a connection needs of its pool. */
export interface ConnectionOwner<Connection> {
  readonly address: Address
  readonly tls: Bun.TLSOptions | undefined
  readonly maxHeadBytes: number
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
  /** The connection is open and has nothing to do. */
  connectionIdle(connection: Connection): void
  /** The connection is gone. Called once. */
  connectionGone(connection: Connection): void
}
