import { type IssuerDeps, IssuerSource } from "./issuer_source.ts"
import type { IssuerKeys } from "./messages.ts"
import type { AuthSettings } from "./settings.ts"

/** The keys of all issuers config names, for the control plane. */
export class Issuers {
  readonly #deps: IssuerDeps
  #sources = new Map<string, IssuerSource>()

  constructor(deps: IssuerDeps) {
    this.#deps = deps
  }

  /** Starts to fetch for issuers that are new, ends it for those that are gone. */
  apply(settings: Pick<AuthSettings, "issuers"> | undefined): void {
    const next = new Map<string, IssuerSource>()
    for (const each of settings?.issuers ?? []) {
      const old = this.#sources.get(each.issuer)
      const same =
        old !== undefined &&
        old.settings.jwks === each.jwks &&
        old.settings.algorithms.join() === each.algorithms.join()
      next.set(each.issuer, same ? old : new IssuerSource(each, old?.keys.keys ?? [], this.#deps))
    }
    for (const [issuer, source] of this.#sources) if (next.get(issuer) !== source) source.close()
    this.#sources = next
  }

  /** Of those that have any. */
  state(): readonly IssuerKeys[] {
    return [...this.#sources.values()].map(({ keys }) => keys).filter(({ keys }) => keys.length > 0)
  }

  /** The keys of an issuer, fetched again if need be; `undefined`: config does not name it. Never rejects. */
  async ask(issuer: string, kid: string | undefined): Promise<IssuerKeys | undefined> {
    return this.#sources.get(issuer)?.ask(kid)
  }

  close(): void {
    this.apply(undefined)
  }
}
