import type { Principal } from "../identity/principal.ts"
import { late } from "../lib/late.ts"

/** Longest text of a subject; of a longer one its hash is kept. */
const MAX_LENGTH = 200

/** Ids are unique within who vouches for them only: those of other issuers name theirs. */
export type SubjectOf = (principal: Principal) => string

/**
 * Who shares the units of a quota, as a text for the store: `user:<id>`, `service:<id>`, `api_key:<id>`,
 * `claim:<name>:<value>`; of another issuer, `user:<issuer>:<id>`. Parts are percent-encoded, so no id looks like
 * another's. `own`: the gateway's own issuer. `by`: as config has it, checked.
 */
export function compileSubject(by: string, own: string | undefined): SubjectOf {
  const user: SubjectOf = (principal) => textOf(principal.kind, principal, own, principal.id)
  if (by === "user") return user
  if (by === "api_key")
    return (principal) =>
      principal.method === "api_key" ? `api_key:${part(principal.tokenId)}` : user(principal)
  const name = by.slice(by.indexOf(":") + 1)
  const kind = `claim:${part(name)}`
  return (principal) => {
    const value = Object.hasOwn(principal.claims, name) ? principal.claims[name] : undefined
    // Mappings and lists have no one text; nobody should get units of their own by sending them.
    const plain = typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    return plain ? textOf(kind, principal, own, String(value)) : user(principal)
  }
}

function textOf(kind: string, { issuer }: Principal, own: string | undefined, id: string): string {
  const text = issuer === own ? `${kind}:${part(id)}` : `${kind}:${part(issuer)}:${part(id)}`
  if (text.length <= MAX_LENGTH) return text
  return `${kind.slice(0, 40)}:#${late.crypto.createHash("sha256").update(text).digest("hex")}`
}

/** Without ":" and control characters. Half of a surrogate pair cannot be written; it becomes U+FFFD. */
const part = (text: string): string => encodeURIComponent(text.toWellFormed())
