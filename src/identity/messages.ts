import type { JWK } from "jose"
import type { Principal } from "./principal.ts"
import type { AlgorithmName } from "./settings.ts"

/** A public key as plain data, so that it can be posted between threads. */
export interface PlainKey {
  readonly kid: string | undefined
  readonly alg: AlgorithmName
  readonly jwk: JWK
}

/** Keys of one issuer as they are now. An issuer whose keys could not be fetched yet has none. */
export interface IssuerKeys {
  readonly issuer: string
  readonly keys: readonly PlainKey[]
}

/** What no longer gives access. `session`: a sign-in; `token`: one token by its id; `api_key`: by its id. */
export interface Revocation {
  readonly kind: "session" | "token" | "api_key"
  readonly subject: string
  /** Wall clock in ms from which it may be forgotten: nothing it revokes is alive any more. */
  readonly expiresAt: number
}

/** What the control plane tells all workers when it happens, and a new worker at its start. */
export interface IdentityState {
  readonly issuers: readonly IssuerKeys[]
  readonly revocations: readonly Revocation[]
}

/** A request to an endpoint of identity, handed from a worker to the control plane. */
export interface IdentityRequest {
  readonly method: string
  /** Canonical path and query without "?". */
  readonly path: string
  readonly query: string
  readonly scheme: "http" | "https"
  readonly host: string
  /** Address of the client, after trusted proxies. */
  readonly client: string
  readonly requestId: string
  /** name, value, name, value, …; names in lower case. */
  readonly fields: readonly string[]
  /** Whole body; `undefined` when there was none. */
  readonly body: Uint8Array | undefined
  /** The caller as the `auth` step found it; `undefined` on endpoints open to anybody. */
  readonly principal: Principal | undefined
}

/** An answer, or the failure that is rendered like every other refusal of the gateway. */
export type IdentityAnswer =
  | {
      readonly kind: "answer"
      readonly status: number
      /** name, value, …; `set-cookie` may come more than once. */
      readonly fields: readonly string[]
      readonly body: Uint8Array
    }
  | {
      readonly kind: "failure"
      /** A code of policies/failure.ts. */
      readonly code: string
      readonly message: string | undefined
      readonly details: Readonly<Record<string, unknown>>
      readonly retryAfterS: number | undefined
      readonly headers: Readonly<Record<string, string>>
    }

/** What a worker cannot know by itself and asks the control plane. */
export type Question =
  | { readonly kind: "request"; readonly request: IdentityRequest }
  /** Whose the opaque credential is. `hash`: SHA-256 of it in hex; the credential itself stays in the worker. */
  | {
      readonly kind: "credential"
      readonly credential: "session" | "api_key"
      readonly hash: string
      readonly client: string
    }
  /** A token of a known issuer is signed with an unknown key: the keys may have been rotated. */
  | { readonly kind: "keys"; readonly issuer: string; readonly kid: string | undefined }

/** Whose an opaque credential is. */
export type CredentialAnswer =
  | {
      readonly kind: "principal"
      /** `permissions` empty: the worker fills them in from its config. */
      readonly principal: Principal
      /** Addresses or ranges it may be used from; empty: any. */
      readonly allowedIps: readonly string[]
    }
  | { readonly kind: "unknown" }

export type Reply = IdentityAnswer | CredentialAnswer | { readonly kind: "keys"; readonly keys: IssuerKeys }

/** The answer to each kind of question. */
export interface Replies {
  readonly request: IdentityAnswer
  readonly credential: CredentialAnswer
  readonly keys: { readonly kind: "keys"; readonly keys: IssuerKeys }
}

/** A refusal of the `auth` step, for the audit record. No secrets. */
export interface AuthFailure {
  /** Wall clock in ms. */
  readonly at: number
  readonly reason: string
  readonly client: string
  readonly route: string
  readonly requestId: string
  /** Who it claimed or proved to be; "" when unknown. */
  readonly actor: string
  /** How many it stands for: beyond a rate only a count is kept. */
  readonly count: number
}
