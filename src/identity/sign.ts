import type { JsonObject } from "../lib/json_object.ts"
import type { SigningKey } from "./keys.ts"

const encode = (value: JsonObject) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** A signed JWT (RFC 7519). `typ`: what it is for, such as "at+jwt" (RFC 9068). */
export function signJwt(claims: JsonObject, key: SigningKey, typ: string): string {
  const { alg, kid } = key
  const input = `${encode(kid === undefined ? { alg, typ } : { alg, kid, typ })}.${encode(claims)}`
  return `${input}.${Buffer.from(key.sign(input)).toString("base64url")}`
}
