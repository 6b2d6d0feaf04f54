/** What stands in place of a secret. */
export const REDACTED = "[redacted]"

/** Field and header names whose value is never written. */
const SECRET_NAME =
  /secret|token|passw|passphrase|credential|authorization|cookie|api[_-]?key|private[_-]?key|signature|session[_-]?id|jwt/i

/** Query parameters that carry secrets, beside the names above: OAuth codes, signed URLs, bare keys. */
const SECRET_PARAMETER = /^(?:code|key|sig|sid|auth|pwd|otp|assertion|x-amz-credential)$/i

/** Cheap sign that a query has a secret parameter; an escape may hide one, so it counts as a sign too. */
const MAYBE_SECRET =
  /%|\+|token|secret|passw|passphrase|credential|authorization|cookie|key|signature|session|jwt|code=|sig=|sid=|auth=|pwd=|otp=|assertion=/i

/** Bearer and basic credentials, JWTs, and the user part of a URL, wherever they stand in a text. */
const SECRET_TEXT =
  /\b((?:Bearer|Basic|Digest)\s+)[\w.~+/=-]{8,}|\beyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?|(\w:\/\/)[^\s/@:]*:[^\s/@]+(?=@)/gi

/** Whether the value under this name is secret by what the name says. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name)
}

/** The query with the values of secret parameters replaced; itself when there are none. Any text will do. */
export function redactQuery(query: string): string {
  if (query === "" || !MAYBE_SECRET.test(query)) return query
  let out = ""
  let start = 0
  for (;;) {
    const amp = query.indexOf("&", start)
    const end = amp < 0 ? query.length : amp
    const equals = query.indexOf("=", start)
    if (equals >= 0 && equals < end && isSecretParameter(query.slice(start, equals)))
      out += `${query.slice(start, equals)}=${REDACTED}`
    else out += query.slice(start, end)
    if (amp < 0) return out
    out += "&"
    start = amp + 1
  }
}

/** The text with credentials that can be told by their form replaced. */
export function redactText(text: string): string {
  return text.replace(
    SECRET_TEXT,
    (_, scheme: string | undefined, url: string | undefined) => `${scheme ?? url ?? ""}${REDACTED}`,
  )
}

function isSecretParameter(raw: string): boolean {
  const name = decodeName(raw)
  return SECRET_NAME.test(name) || SECRET_PARAMETER.test(name)
}

/** The name as the service would read it. A broken escape is taken as it stands. */
function decodeName(raw: string): string {
  if (!raw.includes("%") && !raw.includes("+")) return raw
  return raw
    .replaceAll("+", " ")
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .trim()
}
