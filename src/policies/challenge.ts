/**
 * Value of `WWW-Authenticate` for bearer tokens (RFC 6750 section 3). `error` is left out where no credentials were
 * sent. `scopes`: all the route asks for; one that cannot stand in a list of scopes is left out.
 */
export function challenge(
  realm: string,
  error?: "invalid_token" | "insufficient_scope",
  scopes?: readonly string[],
  description?: string,
): string {
  let text = `Bearer realm="${quotable(realm)}"`
  if (error !== undefined) text += `, error="${error}"`
  if (description !== undefined) text += `, error_description="${quotable(description)}"`
  const listed = scopes?.filter((scope) => SCOPE.test(scope)) ?? []
  if (listed.length > 0) text += `, scope="${listed.join(" ")}"`
  return text
}

/** One scope (RFC 6749 section 3.3). */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** Without what ends a quoted text or cannot stand in a header. */
function quotable(text: string): string {
  return text.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "?")
}
