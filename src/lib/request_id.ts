/**
 * A new request id: a UUID version 7 (RFC 9562), 36 characters, which sorts by time and is unique across
 * threads and machines. Not a secret.
 */
export function newRequestId(): string {
  return Bun.randomUUIDv7()
}
