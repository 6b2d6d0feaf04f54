import { networkOf } from "./client_blocks.ts"

/** How many requests of each client one worker is handling. As large as there are requests in flight. */
export class Crowding {
  readonly #inFlight = new Map<string, number>()
  /** Most at a time of one client; 0: any number, and nothing is counted. */
  max = 0

  /** Counts a request in. `false`: that is more than the client may have. */
  enter(address: string): boolean {
    if (this.max === 0) return true
    const client = networkOf(address)
    const count = (this.#inFlight.get(client) ?? 0) + 1
    this.#inFlight.set(client, count)
    return count <= this.max
  }

  /** Counts out what `enter` has counted in. One that came while nothing was counted may be counted out too. */
  leave(address: string): void {
    if (this.#inFlight.size === 0) return
    const client = networkOf(address)
    const count = this.#inFlight.get(client)
    if (count === undefined) return
    if (count === 1) this.#inFlight.delete(client)
    else this.#inFlight.set(client, count - 1)
  }
}
