import type { Log } from "../observe/log.ts"
import type { CountEvent } from "./context.ts"
import { type FetchDeps, fetchDocument } from "./fetch_document.ts"
import { discoveryUrl, unfitIssuerUrl } from "./issuer_url.ts"
import { importJwks } from "./jwks.ts"
import { toPlain } from "./keys.ts"
import type { IssuerKeys, PlainKey } from "./messages.ts"
import type { AuthSettings } from "./settings.ts"

export type IssuerSettings = AuthSettings["issuers"][number]

export interface IssuerDeps extends FetchDeps {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Runs `run` once after `ms`; what it returns takes it back. */
  readonly after: (ms: number, run: () => void) => () => void
  readonly log: Log
  readonly count: CountEvent
  /** The keys of an issuer are others now. */
  readonly onKeys: (keys: IssuerKeys) => void
}

/** Fetches on account of unknown keys are at least this far apart, in ms: anybody can send a token that names one. */
export const COOLDOWN_MS = 10_000
/** Keys are fetched again after Cache-Control's max-age within these bounds, in ms, less up to a fifth. */
const MIN_AGE_MS = 60_000
const DEFAULT_AGE_MS = 600_000
const MAX_AGE_MS = 86_400_000
/** Wait after a failure, in ms: it doubles from the first to the last, less up to a half. */
const FIRST_RETRY_MS = 1000
const LAST_RETRY_MS = 60_000

type Loaded =
  | {
      readonly ok: true
      readonly keys: readonly PlainKey[]
      readonly skipped: number
      readonly ageMs: number
    }
  | { readonly ok: false; readonly reason: string }

const failed = (reason: string): Loaded => ({ ok: false, reason })

/**
 * The keys of one issuer, fetched beside the requests: again before they are stale, and when a token names one
 * that is not known. Only a set with a usable key replaces them; otherwise those known stay in use, for ever.
 */
export class IssuerSource {
  readonly settings: IssuerSettings
  readonly #deps: IssuerDeps
  readonly #closed = new AbortController()
  #keys: readonly PlainKey[]
  /** Found by discovery; forgotten when nothing good is found there. */
  #jwksUrl: string | undefined
  #fetching: Promise<boolean> | undefined
  #askedAt = Number.NEGATIVE_INFINITY
  #failures = 0
  #told = false
  #cancel = (): void => {}

  /** Starts to fetch. `keys`: in use until it has other ones. */
  constructor(settings: IssuerSettings, keys: readonly PlainKey[], deps: IssuerDeps) {
    this.settings = settings
    this.#keys = keys
    this.#deps = deps
    void this.#refresh()
  }

  get keys(): IssuerKeys {
    return { issuer: this.settings.issuer, keys: this.#keys }
  }

  /** The keys, after they were fetched again if this one is not among them and the last time was long ago. */
  async ask(kid: string | undefined): Promise<IssuerKeys> {
    if (this.#has(kid)) return this.keys
    // One under way may bring it. If it fails, so would another now; and a key without a name is not looked for twice.
    const underWay = this.#fetching
    if (underWay !== undefined && (!(await underWay) || kid === undefined || this.#has(kid))) return this.keys
    const now = this.#deps.now()
    if (this.#fetching === undefined && now - this.#askedAt < COOLDOWN_MS) return this.keys
    if (this.#fetching === undefined) this.#askedAt = now
    await this.#refresh()
    return this.keys
  }

  close(): void {
    this.#cancel()
    this.#closed.abort()
  }

  #has(kid: string | undefined): boolean {
    return kid !== undefined && this.#keys.some((key) => key.kid === kid)
  }

  /** Whether it brought keys; all who ask while one is under way wait for the same. */
  #refresh(): Promise<boolean> {
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetchNow(): Promise<boolean> {
    this.#cancel()
    const loaded = await this.#load()
    if (this.#closed.signal.aborted) return false
    const { random, after, count } = this.#deps
    count("keys_fetched", loaded.ok ? "success" : "failure")
    if (loaded.ok) this.#take(loaded)
    else this.#fail(loaded.reason)
    const waitMs = loaded.ok
      ? loaded.ageMs * (1 - random() / 5)
      : Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 1), LAST_RETRY_MS) * (1 - random() / 2)
    this.#cancel = after(waitMs, () => void this.#refresh())
    return loaded.ok
  }

  #take({ keys, skipped }: Extract<Loaded, { ok: true }>): void {
    const changed = JSON.stringify(keys) !== JSON.stringify(this.#keys)
    if (changed || this.#told)
      this.#deps.log.info("issuer.keys", { issuer: this.settings.issuer, count: keys.length, skipped })
    this.#failures = 0
    this.#told = false
    if (!changed) return
    this.#keys = keys
    this.#deps.onKeys(this.keys)
  }

  #fail(reason: string): void {
    this.#failures++
    this.#jwksUrl = undefined
    if (this.#told) return
    this.#told = true
    this.#deps.log.warn("issuer.unavailable", { issuer: this.settings.issuer, reason })
  }

  async #load(): Promise<Loaded> {
    const url = this.settings.jwks ?? this.#jwksUrl ?? (await this.#discover())
    if (typeof url === "object") return url
    const fetched = await fetchDocument(url, this.#deps, this.#closed.signal)
    if (!fetched.ok) return failed(`its key set ${fetched.reason}`)
    const imported = importJwks(fetched.document, this.settings.algorithms)
    if (!imported.ok) return failed(`its key set ${imported.message}`)
    if (imported.keys.length === 0) return failed("its key set holds no key that can be used")
    const ageMs = Math.min(Math.max(fetched.maxAgeMs ?? DEFAULT_AGE_MS, MIN_AGE_MS), MAX_AGE_MS)
    return { ok: true, keys: imported.keys.map(toPlain), skipped: imported.skipped.length, ageMs }
  }

  /** OpenID Connect Discovery 1.0 section 4.3: the document must name the issuer exactly. */
  async #discover(): Promise<string | Loaded> {
    const { issuer } = this.settings
    const fetched = await fetchDocument(discoveryUrl(issuer), this.#deps, this.#closed.signal)
    if (!fetched.ok) return failed(`its discovery document ${fetched.reason}`)
    const { document } = fetched
    if (typeof document !== "object" || document === null || !("issuer" in document))
      return failed("its discovery document names no issuer")
    if (document.issuer !== issuer) return failed("its discovery document is of another issuer")
    const url = "jwks_uri" in document ? document.jwks_uri : undefined
    if (typeof url !== "string") return failed("its discovery document names no key set")
    const unfit = unfitIssuerUrl(url)
    if (unfit !== undefined) return failed(`the URL of its key set ${unfit}`)
    // Nobody else's document leads to what only this machine can reach.
    if (url.startsWith("http:") && !issuer.startsWith("http:"))
      return failed("the URL of its key set must begin with https://")
    this.#jwksUrl = url
    return url
  }
}
