import { type AnyElysia, Elysia } from "elysia"
import type { IdentityAnswer, IdentityRequest } from "../../identity/messages.ts"
import type { AuthSettings } from "../../identity/settings.ts"
import type { Log } from "../../observe/log.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import { StoreError } from "../../store/sql.ts"
import { endpointPath } from "./endpoints.ts"

interface Call {
  readonly asked: IdentityRequest
  failure: Failure | undefined
}

const calls = new WeakMap<Request, Call>()

/** What the worker knows of a request: client, scheme, caller. Only for requests `createIdentityApp` made. */
export function askedOf(request: Request): IdentityRequest {
  return calls.get(request)!.asked
}

/** Ends a handler with a failure; it is rendered like every other refusal of the gateway. */
export function refuse(request: Request, failure: Failure): Response {
  calls.get(request)!.failure = failure
  return new Response(null, { status: 500 })
}

/** For routes that take a body: it is left as it came, for `compileBody` and `readParameters`. */
export const RAW = { parse: "none" } as const

const NO_STORE = { "cache-control": "no-store", pragma: "no-cache" }

/** A JSON answer that no cache keeps (RFC 6749 section 5.1). */
export const ok = (body: object, status = 200, headers: Record<string, string> = {}): Response =>
  Response.json(body, { status, headers: { ...NO_STORE, ...headers } })

export interface IdentityAppDeps {
  readonly settings: () => AuthSettings
  readonly log: Log
}

/** The endpoints of identity as one function, run in the control plane. `groups`: Elysia applications, paths below a prefix. */
export function createIdentityApp(
  groups: readonly AnyElysia[],
  deps: IdentityAppDeps,
): (asked: IdentityRequest) => Promise<IdentityAnswer> {
  const app = new Elysia({ normalize: false }).onError(({ code, error, request }) => {
    switch (code) {
      case "NOT_FOUND":
        return refuse(request, fail("NOT_FOUND"))
      case "VALIDATION":
        return refuse(request, invalidFields(error))
      case "PARSE":
        return refuse(request, fail("INVALID_REQUEST", { message: "The body is not what its type says." }))
      default:
        return refuse(request, unexpected(error, deps.log))
    }
  })
  for (const group of groups) app.use(group)
  return async (asked) => {
    const { https, prefixes } = deps.settings()
    if (https === "required" && asked.scheme !== "https") return refuseInsecure(asked)
    const path = endpointPath(asked.path, prefixes)
    if (path === undefined) return toAnswer(fail("NOT_FOUND"))
    const query = asked.query === "" ? "" : `?${asked.query}`
    const request = new Request(`http://localhost${path}${query}`, {
      method: asked.method === "HEAD" ? "GET" : asked.method,
      headers: pairs(asked.fields),
      body: asked.body === undefined ? null : Buffer.from(asked.body),
    })
    const call: Call = { asked, failure: undefined }
    calls.set(request, call)
    const response = await app.handle(request)
    return call.failure === undefined ? readAnswer(response) : toAnswer(call.failure)
  }
}

/** Only what may be shown: the fields, never the values that were sent. */
function invalidFields(error: unknown): Failure {
  const all = (error as { all?: readonly { path?: string; summary?: string; message?: string }[] }).all ?? []
  const errors = all.slice(0, 20).map(({ path, message }) => ({ field: path ?? "", message: message ?? "" }))
  return fail("INVALID_FIELD", { details: { errors } })
}

function unexpected(error: unknown, log: Log): Failure {
  if (error instanceof StoreError && error.kind !== "failed" && error.kind !== "conflict") {
    log.error("store.unavailable", { kind: error.kind, error })
    return fail("SERVICE_UNAVAILABLE", {
      retryAfterS: 5,
      message: "Accounts cannot be read or changed just now.",
    })
  }
  log.error("identity.fault", { error })
  return fail("INTERNAL_ERROR")
}

/** A page is shown the way to https; a secret that was sent in the clear is not forwarded anywhere. */
function refuseInsecure({ method, host, path, query }: IdentityRequest): IdentityAnswer {
  if (method !== "GET" && method !== "HEAD") return toAnswer(fail("HTTPS_REQUIRED"))
  const name = host.replace(/:\d+$/, "")
  const location = `https://${name}${path}${query === "" ? "" : `?${query}`}`
  return {
    kind: "answer",
    status: 308,
    fields: ["location", location, "cache-control", "no-store"],
    body: EMPTY,
  }
}

const EMPTY = new Uint8Array(0)

function pairs(fields: readonly string[]): [string, string][] {
  const found: [string, string][] = []
  for (let i = 0; i < fields.length; i += 2) found.push([fields[i]!, fields[i + 1]!])
  return found
}

async function readAnswer(response: Response): Promise<IdentityAnswer> {
  const fields: string[] = []
  for (const [name, value] of response.headers) if (name !== "set-cookie") fields.push(name, value)
  for (const cookie of response.headers.getSetCookie()) fields.push("set-cookie", cookie)
  return { kind: "answer", status: response.status, fields, body: await response.bytes() }
}

/** A failure as the worker that renders it takes it. */
export function toAnswer({ code, message, details, retryAfterS, headers }: Failure): IdentityAnswer {
  return { kind: "failure", code, message, details, retryAfterS, headers }
}
