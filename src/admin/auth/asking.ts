import type { Asking } from "../../identity/context.ts"
import type { IdentityRequest } from "../../identity/messages.ts"

/** Value of a request header, name in lower case; `undefined`: it was not sent. */
export function fieldOf({ fields }: IdentityRequest, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]
  return undefined
}

/** Who asks, for records and throttling. */
export function askingOf(asked: IdentityRequest): Asking {
  return {
    client: asked.client,
    userAgent: fieldOf(asked, "user-agent") ?? "",
    requestId: asked.requestId,
  }
}
