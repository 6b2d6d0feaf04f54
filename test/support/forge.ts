import type { SigningKey } from "../../src/identity/keys.ts"

export const base64url = (text: string | Uint8Array) => Buffer.from(text).toString("base64url")

/** A compact JWS of exactly these texts, signed by the key whatever the header says. */
export function forge(header: string, payload: string, key: Pick<SigningKey, "sign">): string {
  const input = `${base64url(header)}.${base64url(payload)}`
  return `${input}.${base64url(key.sign(input))}`
}
