import { authenticateClient, type ClientAuth, type ClientSecret } from "../../identity/client_auth.ts"
import type { IdentityContext } from "../../identity/context.ts"
import type { IdentityRequest } from "../../identity/messages.ts"
import type { Throttle } from "../../identity/throttle.ts"
import { fail } from "../../policies/failure.ts"
import { askingOf, fieldOf } from "./asking.ts"
import { refuseForNow, refuseOAuth } from "./oauth_error.ts"
import { decodeFormText } from "./parameters.ts"

/** `none`: no credentials of a client were sent. */
export type ClientOutcome = ClientAuth | { readonly kind: "none" } | { readonly kind: "malformed" }

/** The client that asks, by Basic or by parameters of the body; not by both (RFC 6749 section 2.3). */
export async function clientOf(
  context: IdentityContext,
  throttle: Throttle,
  asked: IdentityRequest,
  values: ReadonlyMap<string, string>,
): Promise<ClientOutcome> {
  const basic = basicOf(fieldOf(asked, "authorization"))
  const secret = values.get("client_secret")
  if (basic === "malformed") return { kind: "malformed" }
  if (basic !== undefined) {
    const id = values.get("client_id")
    if (secret !== undefined || (id !== undefined && id !== basic.id)) return { kind: "malformed" }
    return authenticateClient(context, throttle, basic, askingOf(asked))
  }
  if (secret === undefined) return { kind: "none" }
  const id = values.get("client_id")
  if (id === undefined) return { kind: "malformed" }
  return authenticateClient(context, throttle, { id, secret }, askingOf(asked))
}

/** Both halves are written as in a form before they are put together (RFC 6749 section 2.3.1). */
function basicOf(authorization: string | undefined): ClientSecret | "malformed" | undefined {
  if (authorization === undefined || !/^basic /i.test(authorization)) return undefined
  const text = Buffer.from(authorization.slice(6).trim(), "base64").toString("utf8")
  const colon = text.indexOf(":")
  if (colon <= 0) return "malformed"
  const id = decodeFormText(text.slice(0, colon))
  const secret = decodeFormText(text.slice(colon + 1))
  // PostgreSQL takes no text with a NUL.
  return id === undefined || secret === undefined || id.includes("\0") ? "malformed" : { id, secret }
}

/** The answer to whoever is not a client that proved to be it. */
export function refuseClient(
  request: Request,
  form: boolean,
  outcome: Exclude<ClientOutcome, { kind: "client" }>,
): Response {
  switch (outcome.kind) {
    case "none":
      return refuseOAuth(request, form, "invalid_client", "The client must show its id and secret.")
    case "wrong":
      return refuseOAuth(request, form, "invalid_client", "The client's id or secret is wrong.")
    case "malformed":
      return refuseOAuth(request, form, "invalid_request", "The client must show one id and one secret.")
    case "throttled":
      return refuseForNow(request, form, fail("TOO_MANY_ATTEMPTS", { retryAfterS: outcome.retryAfterS }))
  }
}
