/**
 * First values of the named query parameters, decoded as forms are; those that are not sent are left out. A text:
 * why it cannot be told what the service would read. It may take the last of two, or not tell `ID` from `id`, or
 * split at `;`, and then what was authorised would not be what is done.
 */
export function readParameters(query: string, names: readonly string[]): Record<string, string> | string {
  const found: Record<string, string> = {}
  if (names.length === 0 || query === "") return found
  if (query.includes(";")) return "the query holds a plain `;`"
  for (const pair of query.split("&")) {
    const equals = pair.indexOf("=")
    const name = decode(equals === -1 ? pair : pair.slice(0, equals))
    if (name === undefined) return "the name of a parameter cannot be decoded"
    const wanted = matching(name, names)
    if (wanted === undefined) continue
    if (Object.hasOwn(found, wanted)) return `the parameter ${wanted} is there twice`
    const value = equals === -1 ? "" : decode(pair.slice(equals + 1))
    if (value === undefined) return `the parameter ${wanted} cannot be decoded`
    found[wanted] = value
    // Counts as one, for the question above, but is not what was asked for.
    if (name !== wanted) return `the parameter ${wanted} is spelt in another case`
  }
  return found
}

/** The wanted name this one is taken for. `id[]` is `id` to some readers. */
function matching(name: string, names: readonly string[]): string | undefined {
  const bracket = name.indexOf("[")
  const plain = (bracket > 0 ? name.slice(0, bracket) : name).trim().toLowerCase()
  for (let i = 0; i < names.length; i++) if (names[i]!.toLowerCase() === plain) return names[i]
  return undefined
}

function decode(text: string): string | undefined {
  if (!text.includes("%") && !text.includes("+")) return text
  try {
    return decodeURIComponent(text.replaceAll("+", " "))
  } catch {
    // Its only error: an escape that is broken or no UTF-8.
    return undefined
  }
}
