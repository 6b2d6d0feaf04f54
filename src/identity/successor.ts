import { late } from "../lib/late.ts"

const CIPHER = "aes-256-gcm"
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const LABEL = "gatehouse refresh successor 1"

/**
 * Seals the token that follows `token`, so that only who shows `token` can read it: the store holds but the hash
 * of that, from which the key cannot be derived. HKDF with SHA-256 (RFC 5869), AES-256-GCM. `sessionId` is bound in.
 */
export function sealSuccessor(
  token: string,
  successor: string,
  sessionId: string,
  randomBytes: (count: number) => Uint8Array,
): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = late.crypto.createCipheriv(CIPHER, keyOf(token), nonce).setAAD(Buffer.from(sessionId))
  const sealed = [nonce, cipher.update(successor, "utf8"), cipher.final(), cipher.getAuthTag()]
  return Buffer.concat(sealed).toString("base64url")
}

/** The token that follows `token`. Throws `Error` when it was sealed for another one, or has been changed. */
export function openSuccessor(token: string, sealed: string, sessionId: string): string {
  const bytes = Buffer.from(sealed, "base64url")
  const tagAt = bytes.length - TAG_BYTES
  const decipher = late.crypto.createDecipheriv(CIPHER, keyOf(token), bytes.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(Buffer.from(sessionId)).setAuthTag(bytes.subarray(tagAt))
  return decipher.update(bytes.subarray(NONCE_BYTES, tagAt), undefined, "utf8") + decipher.final("utf8")
}

const keyOf = (token: string): Uint8Array =>
  new Uint8Array(late.crypto.hkdfSync("sha256", token, new Uint8Array(0), LABEL, KEY_BYTES))
