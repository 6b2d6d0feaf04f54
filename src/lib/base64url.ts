/**
 * Bytes of base64url text (RFC 4648 section 5) in its one canonical spelling, else `undefined`: no padding, no
 * white space, no bits set behind the last byte, none of the characters of plain base64.
 */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64url")
  // Buffer skips what it does not know: only text that comes out again the same was all base64url.
  return bytes.toString("base64url") === text ? bytes : undefined
}
