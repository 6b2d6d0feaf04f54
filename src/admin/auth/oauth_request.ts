import type { IdentityRequest } from "../../identity/messages.ts"
import { askedOf } from "./app.ts"
import { refuseOAuth } from "./oauth_error.ts"
import { readParameters } from "./parameters.ts"

/** What an endpoint of OAuth is asked. */
export interface OAuthRequest {
  readonly request: Request
  readonly asked: IdentityRequest
  /** How the answer is written: as OAuth has it, or as the gateway does. */
  readonly form: boolean
  readonly values: ReadonlyMap<string, string>
}

/** The handler of an endpoint of OAuth: `answer` sees only what can be read. */
export function oauth(answer: (given: OAuthRequest) => Promise<Response>) {
  return ({ request }: { readonly request: Request }): Promise<Response> | Response => {
    const asked = askedOf(request)
    const parameters = readParameters(asked)
    const { form } = parameters
    if (!parameters.ok) return refuseOAuth(request, form, "invalid_request", parameters.message)
    return answer({ request, asked, form, values: parameters.values })
  }
}
