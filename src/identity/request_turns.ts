import { clientNetwork } from "../lib/client_network.ts"

export interface RequestTurnsDeps {
  /** Runs something in the next turn of the event loop, after what else waits there. */
  readonly soon: (run: () => void) => void
}

/** Requests handled at a time, and those that wait for their turn. */
const MAX_RUNNING = 64
const MAX_WAITING = 512
/** The same of one client, an IPv6 client being its /64: many people may share an address. */
const MAX_RUNNING_EACH = 8
const MAX_WAITING_EACH = 64

interface Waiter {
  readonly client: Client
  readonly start: () => void
}

interface Client {
  readonly network: string
  running: number
  waiting: number
}

/**
 * Turns of requests to endpoints of identity, all of which run in the control plane: it begins one a turn of the
 * event loop, so that health checks, operators and workers get their turns between, and no client takes all
 * places. In order of arrival, but for clients that have all places they may have.
 */
export class RequestTurns {
  readonly #deps: RequestTurnsDeps
  /** In order of arrival. */
  readonly #waiting = new Set<Waiter>()
  /** Those with anything under way; bounded by what may run and wait. */
  readonly #clients = new Map<string, Client>()
  #running = 0
  #isWoken = false

  constructor(deps: RequestTurnsDeps) {
    this.#deps = deps
  }

  /** What came of the work; `undefined`: too many wait already, and it was not begun. Rejects as `work` does. */
  async run<T>(address: string, work: () => Promise<T>): Promise<T | undefined> {
    const client = this.#clientOf(clientNetwork(address))
    if (this.#waiting.size >= MAX_WAITING || client.waiting >= MAX_WAITING_EACH) return undefined
    await this.#turn(client)
    try {
      return await work()
    } finally {
      this.#running--
      client.running--
      this.#forget(client)
      this.#wake()
    }
  }

  #turn(client: Client): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    client.waiting++
    this.#clients.set(client.network, client)
    this.#waiting.add({ client, start: resolve })
    this.#wake()
    return promise
  }

  #wake(): void {
    if (this.#isWoken || this.#waiting.size === 0 || this.#running >= MAX_RUNNING) return
    this.#isWoken = true
    this.#deps.soon(() => {
      this.#isWoken = false
      this.#startNext()
    })
  }

  #startNext(): void {
    if (this.#running >= MAX_RUNNING) return
    for (const waiter of this.#waiting) {
      const { client } = waiter
      if (client.running >= MAX_RUNNING_EACH) continue
      this.#waiting.delete(waiter)
      client.waiting--
      client.running++
      this.#running++
      waiter.start()
      this.#wake()
      return
    }
    // All who wait have their places: the next to end wakes.
  }

  #clientOf(network: string): Client {
    return this.#clients.get(network) ?? { network, running: 0, waiting: 0 }
  }

  #forget(client: Client): void {
    if (client.running === 0 && client.waiting === 0) this.#clients.delete(client.network)
  }
}
