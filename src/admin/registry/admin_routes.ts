import { Elysia } from "elysia"
import { compileLate } from "../../lib/compile_late.ts"
import { parseJsonObject } from "../../lib/json_object.ts"
import { FAILURES, type Failure, fail } from "../../policies/failure.ts"
import { type Registration, RegistrationSchema } from "../../upstream/discovery/registration.ts"
import { HEADERS, ok, operatorOf, refuse } from "../answer.ts"
import { fieldErrors } from "../field_errors.ts"
import type { RegistryPort } from "./port.ts"
import { type RegistryRoutesDeps, registryRoutes } from "./routes.ts"
import { EVENT_STREAM_HEADERS, MAX_WATCHERS, type Poll, placeOf, watchEvents } from "./watch.ts"

const MAX_DEPTH = 4
const validator = compileLate(RegistrationSchema)
const ALL = ["*"]

const refuseFailure = (request: Request, { code, message, details }: Failure): Response =>
  refuse(request, FAILURES[code].status, code, message, details)

const ADMIN_PORT: RegistryPort = {
  async read(request) {
    const body = parseJsonObject(await request.bytes(), MAX_DEPTH)
    if (body === undefined)
      return fail("INVALID_REQUEST", { message: "The body must be one JSON object that repeats no key." })
    return validator().Check(body)
      ? { kind: "body", body: body as Registration }
      : fail("INVALID_FIELD", { details: { errors: fieldErrors(validator(), body) } })
  },
  ok,
  refuse: refuseFailure,
  services: () => ALL,
  actor: operatorOf,
}

/** The registry for operators. */
export function adminRegistryRoutes(deps: RegistryRoutesDeps) {
  let watchers = 0
  const poll: Poll = (since) => deps.registry.ask({ kind: "registry", since, services: ALL })
  return new Elysia({ prefix: "/admin/v1" })
    .use(registryRoutes(ADMIN_PORT, deps))
    .get("/registry/watch", ({ request }) => {
      if (watchers >= MAX_WATCHERS) return refuseFailure(request, TOO_MANY)
      watchers++
      let open = true
      const end = (): void => {
        if (open) watchers--
        open = false
      }
      const events = watchEvents(poll, placeOf(request.headers.get("last-event-id")), () => open)
      return new Response(toStream(events, end), { headers: { ...HEADERS, ...EVENT_STREAM_HEADERS } })
    })
}

const TOO_MANY = fail("OVERLOADED", {
  message: `There are ${MAX_WATCHERS} watchers already.`,
  retryAfterS: 5,
})

function toStream(events: AsyncGenerator<Uint8Array, void, void>, onEnd: () => void): ReadableStream {
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await events.next()
      if (done) {
        onEnd()
        controller.close()
      } else controller.enqueue(value)
    },
    cancel: onEnd,
  })
}
