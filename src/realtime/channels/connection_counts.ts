import type { HubAnswers, HubCommand } from "./hub_messages.ts"

interface Open {
  readonly worker: number
  readonly user: string
  readonly address: string
}

/** Connections of all workers, counted by user and address. */
export class ConnectionCounts {
  readonly #open = new Map<string, Open>()
  readonly #users = new Map<string, number>()
  readonly #addresses = new Map<string, number>()

  get size(): number {
    return this.#open.size
  }

  /** A client that is open already has said now who it is: it is counted by that. */
  open(worker: number, command: Extract<HubCommand, { do: "open" }>): HubAnswers["open"] {
    const { client, user, address, limits } = command
    const before = this.#open.get(client)
    if (before === undefined && this.#open.size >= limits.max) return "process"
    if (user !== "" && before?.user !== user && (this.#users.get(user) ?? 0) >= limits.perUser) return "user"
    if (before === undefined && (this.#addresses.get(address) ?? 0) >= limits.perAddress) return "address"
    this.close(client)
    this.#open.set(client, { worker, user, address })
    if (user !== "") count(this.#users, user, 1)
    count(this.#addresses, address, 1)
    return "opened"
  }

  /** `false`: it is not open. */
  close(client: string): boolean {
    const open = this.#open.get(client)
    if (open === undefined) return false
    this.#open.delete(client)
    if (open.user !== "") count(this.#users, open.user, -1)
    count(this.#addresses, open.address, -1)
    return true
  }

  lost(worker: number): void {
    for (const [client, open] of this.#open) if (open.worker === worker) this.close(client)
  }
}

function count(counts: Map<string, number>, key: string, by: number): void {
  const sum = (counts.get(key) ?? 0) + by
  if (sum === 0) counts.delete(key)
  else counts.set(key, sum)
}
