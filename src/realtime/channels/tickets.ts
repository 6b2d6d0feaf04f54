import type { Principal } from "../../identity/principal.ts"
import { late } from "../../lib/late.ts"
import type { ChannelStore } from "./channel_store.ts"

/**
 * What a browser shows in place of its credentials where it cannot send headers: good once, for a short time. Only
 * hashes of them are kept.
 */
export class Tickets {
  readonly #store: Pick<ChannelStore, "keep" | "take">
  readonly #newId: () => string

  constructor(store: Pick<ChannelStore, "keep" | "take">, newId: () => string) {
    this.#store = store
    this.#newId = newId
  }

  async issue(principal: Principal, ttlMs: number): Promise<string> {
    const ticket = this.#newId()
    // JSON has no infinity.
    const expiresAt = Number.isFinite(principal.expiresAt) ? principal.expiresAt : null
    await this.#store.keep(keyOf(ticket), JSON.stringify({ ...principal, expiresAt }), ttlMs)
    return ticket
  }

  async take(ticket: string): Promise<Principal | undefined> {
    const text = await this.#store.take(keyOf(ticket))
    if (text === undefined) return undefined
    const kept = JSON.parse(text) as Principal & { readonly expiresAt: number | null }
    return { ...kept, expiresAt: kept.expiresAt ?? Number.POSITIVE_INFINITY }
  }
}

const keyOf = (ticket: string): string =>
  `ticket:${late.crypto.createHash("sha256").update(ticket).digest("hex")}`
