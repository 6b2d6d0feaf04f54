import type { StaticDecode } from "typebox"
import type { auth } from "./auth.ts"

/** What a route asks of its callers, in words: one sentence each, without a full stop. For `explain` and /docs. */
export function authInWords(options: StaticDecode<typeof auth.schema>): string[] {
  const { required, methods, roles, scopes, permissions, tiers, owner, min_age, content } = options
  const or = (words: readonly string[]) => words.join(" or ")
  const and = (words: readonly string[]) => words.join(" and ")
  const words = [
    required ? "needs a caller who proved its identity" : "takes callers without credentials too",
  ]
  if (methods.length > 0) words.push(`proved by ${or(methods)}`)
  if (roles.length > 0) words.push(`with the role ${or(roles)}`)
  if (scopes.length > 0) words.push(`with the scope ${and(scopes)}`)
  if (permissions.length > 0) words.push(`with the permission ${and(permissions)}`)
  if (tiers.length > 0) words.push(`of the tier ${or(tiers)}`)
  if (owner !== undefined) words.push(`for whom this holds: ${owner}`)
  if (min_age !== undefined) words.push(`without an age limit below ${min_age}`)
  if (content.length > 0) words.push(`who does not block ${or(content)}`)
  return words
}
