import type { ServerMetadata } from "openid-client"
import type { Log } from "../observe/log.ts"
import { type FetchDeps, fetchDocument } from "./fetch_document.ts"
import { discoveryUrl } from "./issuer_url.ts"
import { parseMetadata } from "./provider_metadata.ts"
import type { AuthSettings } from "./settings.ts"

export type ProviderSettings = AuthSettings["providers"][string]

export interface ProviderDeps extends FetchDeps {
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly log: Log
}

/** Metadata older than this is fetched again, beside the sign-ins. */
export const METADATA_MS = 600_000
/** Least time between tries to fetch it, in ms. */
export const RETRY_MS = 2000

/**
 * What one OpenID provider says of itself. Metadata is fetched when it is first needed; from then on nobody waits
 * for it, and while the provider is away what it said last stays in use. Keys are fetched at every sign-in, as
 * the provider has just been asked anyway: so a key it has changed to is never missing.
 */
export class ProviderSource {
  readonly name: string
  readonly settings: ProviderSettings
  readonly deps: ProviderDeps
  #metadata: ServerMetadata | undefined
  #fetchedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  #fetching: Promise<void> | undefined
  #keySets: Promise<string | undefined> | undefined
  #keySet: string | undefined
  #told = false

  constructor(name: string, settings: ProviderSettings, deps: ProviderDeps) {
    this.name = name
    this.settings = settings
    this.deps = deps
  }

  /** `undefined`: it was never to be had. All who ask while it is fetched wait for the same. */
  async metadata(): Promise<ServerMetadata | undefined> {
    const at = this.deps.now()
    if (
      at - this.#fetchedAt > METADATA_MS &&
      (this.#fetching !== undefined || at - this.#triedAt > RETRY_MS)
    ) {
      const fetching = this.#fetch(at)
      if (this.#metadata === undefined) await fetching
    }
    return this.#metadata
  }

  /** The key set as JSON; the one known last when it cannot be fetched, `undefined` when there is none. */
  keySet(url: string): Promise<string | undefined> {
    this.#keySets ??= this.#fetchKeySet(url).finally(() => {
      this.#keySets = undefined
    })
    return this.#keySets
  }

  #fetch(at: number): Promise<void> {
    this.#triedAt = at
    this.#fetching ??= this.#fetchMetadata().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetchMetadata(): Promise<void> {
    const { issuer } = this.settings
    const fetched = await fetchDocument(discoveryUrl(issuer), this.deps, NEVER)
    const metadata = fetched.ok ? parseMetadata(fetched.document, issuer) : fetched.reason
    if (typeof metadata === "string") return this.#tell(`its discovery document ${metadata}`)
    this.#metadata = metadata
    this.#fetchedAt = this.deps.now()
    this.#told = false
  }

  async #fetchKeySet(url: string): Promise<string | undefined> {
    const fetched = await fetchDocument(url, this.deps, NEVER)
    const problem = fetched.ok ? keySetProblem(fetched.document) : fetched.reason
    if (problem === undefined && fetched.ok) this.#keySet = JSON.stringify(fetched.document)
    else this.#tell(`its key set ${problem}`)
    return this.#keySet
  }

  /** Once for each time it goes away. */
  #tell(reason: string): void {
    if (this.#told) return
    this.#told = true
    this.deps.log.warn("provider.unavailable", { provider: this.name, reason })
  }
}

/** What a fetch that others wait for too is bounded by: its own time limit. */
const NEVER = new AbortController().signal

function keySetProblem(document: unknown): string | undefined {
  const { keys } = (document ?? {}) as { keys?: unknown }
  return Array.isArray(keys) && keys.length > 0 ? undefined : "holds no key"
}
