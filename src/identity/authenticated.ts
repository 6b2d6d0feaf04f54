import type { ClientCertificate } from "./certificate.ts"
import type { AuthFailure } from "./messages.ts"
import type { Principal } from "./principal.ts"
import type { AuthSettings } from "./settings.ts"
import type { TokenFault } from "./token_fault.ts"

/** What of a request can prove who is calling; every exchange is one. */
export interface Credentials {
  /** Request header, name in lower case. */
  header(name: string): string | undefined
  /** Address of the client, after trusted proxies. */
  readonly client: string
  /** As the client used it, after trusted proxies. */
  readonly scheme: "http" | "https"
  /** Verified certificate of the client; `undefined` when it showed none. */
  readonly certificate: ClientCertificate | undefined
}

/** What came of asking who is calling. */
export type Authenticated =
  | { readonly kind: "principal"; readonly principal: Principal }
  /** No credentials were sent. */
  | { readonly kind: "anonymous" }
  /** It cannot be told now: keys of the issuer were never to be had, or the control plane does not answer. */
  | { readonly kind: "unavailable" }
  /** Credentials were sent, and they are wrong. */
  | TokenFault

/** Who is calling, as a worker answers it. What policies use of identity. */
export interface Identity {
  /** The section `auth` in force; `undefined` without one. */
  readonly settings: AuthSettings | undefined
  /** A promise only where another thread must be asked. Never rejects. */
  authenticate(credentials: Credentials): Authenticated | Promise<Authenticated>
  /** A token of one minute that tells this service, and no other, who calls. Kept and given again while it is fresh. */
  tokenFor(principal: Principal, service: string): string
  /** Tells of a refusal, for the audit record. */
  failed(failure: Omit<AuthFailure, "count">): void
}
