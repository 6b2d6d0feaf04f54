import { late } from "../lib/late.ts"
import { sessionOfClient } from "./clients.ts"
import type { Asking, IdentityContext } from "./context.ts"
import { hashOfToken } from "./opaque_token.ts"
import type { Throttle } from "./throttle.ts"

/** An OAuth 2 client: a service that signs in by itself. */
export interface AuthenticatedClient {
  readonly id: string
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  /** What its tokens since its last change have in common; see `sessionOfClient`. */
  readonly sessionId: string
}

export type ClientAuth =
  | { readonly kind: "client"; readonly client: AuthenticatedClient }
  | { readonly kind: "wrong" }
  /** Too many wrong secrets came from this address. `retryAfterS`: whole seconds. */
  | { readonly kind: "throttled"; readonly retryAfterS: number }

export interface ClientSecret {
  readonly id: string
  readonly secret: string
}

interface Row {
  secret_hash: string
  roles: string
  scopes: string
  status: string
  updated_at: number
}

const MAX_ID_LENGTH = 256
/** Compared with when there is no such client, so that the work is the same. */
const NO_HASH = hashOfToken("")

/**
 * Whether the secret is that of the client. Secrets are made by the gateway and have 256 bits, so the right one
 * is taken at any time; wrong ones count against the address they come from, not against the client, whom
 * somebody else could lock out then. Rejects with a `StoreError`.
 */
export async function authenticateClient(
  context: IdentityContext,
  throttle: Throttle,
  { id, secret }: ClientSecret,
  asking: Asking,
): Promise<ClientAuth> {
  const row =
    id.length > MAX_ID_LENGTH
      ? undefined
      : await context.store.get<Row>(
          "SELECT secret_hash, roles, scopes, status, updated_at FROM clients WHERE id = $1",
          [id],
        )
  const right = isSame(hashOfToken(secret), row?.secret_hash ?? NO_HASH)
  if (right && row?.status === "active")
    return {
      kind: "client",
      client: {
        id,
        roles: JSON.parse(row.roles) as string[],
        scopes: JSON.parse(row.scopes) as string[],
        sessionId: sessionOfClient(id, row.updated_at),
      },
    }
  context.count("client_credentials", "failure")
  const attempt = await throttle.attempt("client", undefined, asking.client)
  if (attempt.kind === "blocked") return { kind: "throttled", retryAfterS: attempt.retryAfterS }
  const reason = row === undefined ? "unknown" : right ? "disabled" : "wrong_secret"
  await context.audit(context.store, {
    action: "client.authenticate",
    outcome: "failure",
    actor: "",
    subject: id,
    client: asking.client,
    requestId: asking.requestId,
    details: { reason },
  })
  return { kind: "wrong" }
}

/** Both are hashes in hex. */
function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && late.crypto.timingSafeEqual(a, b)
}
