import type { Principal } from "../../identity/principal.ts"

/**
 * An idempotency key as the store knows it: nobody else's, whatever ids and keys are made of. `undefined`: there is none.
 * `connection`: who sends it where nobody knows who that is.
 */
export function senderKey(
  key: string | undefined,
  principal: Principal | undefined,
  connection: string,
): string | undefined {
  if (key === undefined) return undefined
  // The length says where the key ends.
  const own = `${key.length}:${key}`
  return principal === undefined ? `client:${own}:${connection}` : `${principal.kind}:${own}:${principal.id}`
}
