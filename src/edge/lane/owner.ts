import type { Gateway } from "../../gateway/gateway.ts"
import type { Exchange } from "../../upstream/exchange.ts"
import type { Origin } from "../origin.ts"
import type { RawSocket, SocketEvents } from "../raw_socket.ts"
import type { UploadLimits } from "../upload.ts"

/** How long a client may take. */
export interface LaneLimits extends UploadLimits {
  /** From the first byte of a head to its last, ms. */
  readonly headMs: number
  /** Without a request, ms. */
  readonly idleMs: number
}

/** A connection, as its lane sees it. */
export interface LaneMember {
  /** Place in the lane's list; kept by the lane. */
  slot: number
  /** Acts on whatever is due. `at`: the time now. */
  sweep(at: number, limits: LaneLimits): void
  /** Closes it if no request is under way; `hard`: in any case, at once. */
  end(hard: boolean): void
}

/** What a connection needs of its lane. */
export interface LaneOwner {
  readonly gateway: Pick<Gateway, "begin" | "handle" | "finish" | "relays">
  /** Offers of compression are taken: not here. */
  readonly compresses: boolean
  /** The answer cannot be written: gives the exchange another. */
  unwritable(exchange: Exchange, error: unknown): void
  /** The whole answer to a client that is blocked; `undefined`: it is not. */
  refusal(address: string): Uint8Array | undefined
  /** Joins the connection to the other door; `undefined`: that has no room. */
  handOver(socket: RawSocket, origin: Origin): SocketEvents | undefined
  /** There is no socket any more. Called once. */
  gone(connection: LaneMember): void
  /** Milliseconds. */
  now(): number
  readonly draining: boolean
  /** `date: …` with its CRLF. */
  readonly dateLine: string
}
