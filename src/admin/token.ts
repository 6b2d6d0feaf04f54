import { late } from "../lib/late.ts"

const digest = (text: string): Buffer => late.crypto.createHash("sha256").update(text).digest()

/** A token nobody can guess: 192 random bits as base64url. */
export function randomToken(): string {
  return late.crypto.randomBytes(24).toString("base64url")
}

/**
 * Whether an Authorization header carries the token. Takes the same time whatever was sent: digests are
 * compared, so not even the length of the token shows.
 */
export function tokenCheck(token: () => string): (authorization: string | null) => boolean {
  return (authorization) => {
    const sent = /^Bearer +(.+)$/i.exec(authorization ?? "")?.[1] ?? ""
    return late.crypto.timingSafeEqual(digest(sent), digest(token())) && sent !== ""
  }
}
