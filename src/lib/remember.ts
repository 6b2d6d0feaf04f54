/** Longest text whose answer is kept: header values in everyday use are shorter. */
const MAX_KEY_CHARS = 256

/**
 * A pure question about a text that keeps the answers to the first `max` different texts. At the cap, and
 * for long texts, it just answers: whoever sends many different ones gains nothing and costs no memory.
 */
export function remember<V>(ask: (text: string) => V, max: number): (text: string) => V {
  const known = new Map<string, V>()
  return (text) => {
    const found = known.get(text)
    if (found !== undefined) return found
    if (known.size >= max || text.length > MAX_KEY_CHARS) return ask(text)
    // A copy: what was cut out of a longer text would keep all of it.
    const key = Buffer.from(text).toString()
    // Half a surrogate has no UTF-8.
    if (key !== text) return ask(text)
    const answer = ask(key)
    known.set(key, answer)
    return answer
  }
}
