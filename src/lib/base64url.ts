const ALPHABET = { alphabet: "base64url" } as const

/**
 * Bytes of base64url text (RFC 4648 section 5) in its one canonical spelling, else `undefined`: no padding, no
 * white space, no bits set behind the last byte, none of the characters of plain base64.
 */
export function decodeBase64url(text: string): Uint8Array | undefined {
  let bytes: Uint8Array
  try {
    bytes = Uint8Array.fromBase64(text, ALPHABET)
  } catch {
    // It says only that some character is wrong.
    return undefined
  }
  // White space is skipped and padding allowed: then there are fewer bytes than characters for them.
  if (bytes.length !== Math.floor((text.length * 3) / 4)) return undefined
  const over = text.length % 4
  if (over === 1) return undefined
  if (over === 2 && !"AQgw".includes(text.at(-1)!)) return undefined
  if (over === 3 && !"AEIMQUYcgkosw048".includes(text.at(-1)!)) return undefined
  return bytes
}
