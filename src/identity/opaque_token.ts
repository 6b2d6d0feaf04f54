const TOKEN_BYTES = 32

/** A secret of 256 bits that says nothing: `prefix` and 43 characters of base64url. Only its hash is ever stored. */
export function newOpaqueToken(prefix: string, randomBytes: (count: number) => Uint8Array): string {
  return prefix + Buffer.from(randomBytes(TOKEN_BYTES)).toString("base64url")
}

/** SHA-256 in hex, as it is stored. No salt: there is nothing to guess in 256 random bits. */
export function hashOfToken(token: string): string {
  return Bun.SHA256.hash(token, "hex")
}
