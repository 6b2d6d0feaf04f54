import type { Direction } from "../observe/catalogue.ts"
import type { Log } from "../observe/log.ts"
import type { RelayLimits } from "../realtime/relay.ts"
import type { Relays } from "../realtime/relays.ts"
import type { ClientGuard } from "./client_guard.ts"
import type { Shedding } from "./shedding.ts"

/** What running a request needs besides the snapshot. */
export interface Runtime {
  readonly log: Log
  readonly guard: ClientGuard
  readonly shedding: Shedding
  readonly relays: Relays
  /** Names from a service that cannot answer to the one it depends on that is at fault; `undefined`: none is. */
  readonly chainOf: (service: string) => readonly string[] | undefined
  /** Of relays that open from now on: another object with each configuration. */
  relayLimits: RelayLimits
  /** Told of the relays that open and end, for the gauge. */
  readonly onRelay: (change: 1 | -1) => void
  /** Told of every message relayed; bytes of its payload. */
  readonly onRelayed: (direction: Direction, bytes: number) => void
}
