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
    const answer = ask(text)
    if (known.size < max && text.length <= MAX_KEY_CHARS) known.set(text, answer)
    return answer
  }
}
