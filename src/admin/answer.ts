import type { Actor } from "../identity/accounts.ts"
import { newRequestId } from "../lib/request_id.ts"

/** Of a request to the admin port: by what it is known in logs and records, and where it came from. */
export interface Asked {
  readonly requestId: string
  /** Address of the peer; "" when it is not known. */
  readonly client: string
}

const asked = new WeakMap<Request, Asked>()

/** Notes who asks. Before anything else is done with the request. */
export function admit(request: Request, client: string): Asked {
  const noted: Asked = { requestId: newRequestId(), client }
  asked.set(request, noted)
  return noted
}

/** The operator as records name it: there is one token, whoever holds it. */
export function operatorOf(request: Request): Actor {
  return { id: "admin", ...asked.get(request)! }
}

export const HEADERS = { "cache-control": "no-store", "x-content-type-options": "nosniff" }

export const ok = (body: object, status = 200): Response => Response.json(body, { status, headers: HEADERS })

/** A refusal in the one format of the gateway. `message` and `details` hold no values that were sent. */
export function refuse(
  request: Request,
  status: number,
  code: string,
  message: string,
  details: object = {},
): Response {
  const headers = {
    ...HEADERS,
    ...(status === 401 && { "www-authenticate": "Bearer" }),
    ...(status === 503 && { "retry-after": "5" }),
  }
  const body = { error: { code, message, details }, request_id: operatorOf(request).requestId }
  return Response.json(body, { status, headers })
}
