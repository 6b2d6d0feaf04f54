import type { IdentityState, Revocation } from "./messages.ts"
import type { Principal } from "./principal.ts"

/**
 * Revocations kept at a time. At the cap an eighth goes: those that would be forgotten first, single tokens before
 * all others, as their holders can revoke as many as they like.
 */
export const MAX_REVOCATIONS = 100_000

export interface RevocationSetDeps {
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number
  /** Some had to be dropped before their time: what they revoked may give access again. */
  readonly onDropped: (count: number) => void
}

/** What no longer gives access, each until nothing it revokes can be alive any more. */
export class RevocationSet {
  readonly #deps: RevocationSetDeps
  readonly #max: number
  /** Each by its subject, with the time from which it may be forgotten. */
  readonly #until: Readonly<Record<Revocation["kind"], Map<string, number>>> = {
    session: new Map(),
    token: new Map(),
    api_key: new Map(),
  }

  constructor(deps: RevocationSetDeps, max = MAX_REVOCATIONS) {
    this.#deps = deps
    this.#max = max
  }

  get size(): number {
    const { session, token, api_key } = this.#until
    return session.size + token.size + api_key.size
  }

  update({ revocations }: Pick<IdentityState, "revocations">): void {
    const now = this.#deps.wallClock()
    for (const { kind, subject, expiresAt } of revocations) {
      if (expiresAt <= now) continue
      const known = this.#until[kind].get(subject) ?? 0
      this.#until[kind].set(subject, Math.max(known, expiresAt))
    }
    if (this.size > this.#max) this.#makeRoom()
  }

  isRevoked({ sessionId, tokenId, method }: Principal): boolean {
    const { session, token, api_key } = this.#until
    if (sessionId !== "" && session.size > 0 && session.has(sessionId)) return true
    if (tokenId === "") return false
    return method === "api_key" ? api_key.has(tokenId) : token.size > 0 && token.has(tokenId)
  }

  /** Forgets what has expired. Call now and then: it looks at all. */
  sweep(): void {
    const now = this.#deps.wallClock()
    for (const subjects of Object.values(this.#until))
      for (const [subject, until] of subjects) if (until <= now) subjects.delete(subject)
  }

  #makeRoom(): void {
    this.sweep()
    const excess = this.size - this.#max
    if (excess <= 0) return
    const count = excess + Math.floor(this.#max / 8)
    const { token, session, api_key } = this.#until
    const dropped = [...firstToEnd([token]), ...firstToEnd([session, api_key])].slice(0, count)
    for (const { subjects, subject } of dropped) subjects.delete(subject)
    this.#deps.onDropped(dropped.length)
  }
}

function firstToEnd(maps: readonly Map<string, number>[]) {
  const all = maps.flatMap((subjects) =>
    [...subjects].map(([subject, until]) => ({ subjects, subject, until })),
  )
  return all.sort((a, b) => a.until - b.until)
}
