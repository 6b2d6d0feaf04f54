import { networkOf } from "../safety/client_blocks.ts"
import type { RawSocket } from "./raw_socket.ts"

export interface ConnectionBounds {
  /** Connections open at a time. */
  readonly max: number
  /** Of one client address (IPv6: of its first 64 bits); 0: any number. */
  readonly maxPerAddress: number
  /** Whose connections are not bounded by address. */
  readonly exempts: (address: string) => boolean
}

/** The client connections of one door, and how many there may be. */
export class Connections {
  readonly #bounds: ConnectionBounds
  /** Every open one, with the client it counts for; "" for none. */
  readonly #open = new Map<RawSocket, string>()
  readonly #clients = new Map<string, number>()

  constructor(bounds: ConnectionBounds) {
    this.#bounds = bounds
  }

  /** Counts a connection; otherwise why it must be closed: there are too many, or too many from this address. */
  enter(socket: RawSocket, address: string): "entered" | "full" | "crowded" {
    const { max, maxPerAddress, exempts } = this.#bounds
    if (this.#open.size >= max) return "full"
    let client = ""
    if (maxPerAddress > 0 && !exempts(address)) {
      client = networkOf(address)
      const count = this.#clients.get(client) ?? 0
      if (count >= maxPerAddress) return "crowded"
      this.#clients.set(client, count + 1)
    }
    this.#open.set(socket, client)
    return "entered"
  }

  /** The socket is closed; false for one that was not counted. */
  leave(socket: RawSocket): boolean {
    const client = this.#open.get(socket)
    if (client === undefined) return false
    this.#open.delete(socket)
    if (client === "") return true
    const count = this.#clients.get(client)! - 1
    if (count === 0) this.#clients.delete(client)
    else this.#clients.set(client, count)
    return true
  }
}
