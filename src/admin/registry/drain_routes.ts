import { Elysia } from "elysia"
import { recordOf } from "../../identity/accounts.ts"
import { Type } from "../../lib/type.ts"
import type { ServiceView } from "../../upstream/describe.ts"
import { ok, operatorOf, refuse } from "../answer.ts"
import { compileBody, fields } from "../people/read.ts"
import type { RegistryCore } from "./port.ts"
import type { RegistryRoutesDeps } from "./routes.ts"

export interface DrainRoutesDeps extends Pick<RegistryRoutesDeps, "registry" | "record"> {
  readonly services: () => readonly ServiceView[]
  /** Takes an instance out, or back in, on this machine alone. `false`: there is no such instance. */
  readonly drainInstance: (service: string, url: string, on: boolean) => boolean
}

const readBody = compileBody(fields({ instance: Type.String({ minLength: 1, maxLength: 300 }) }))

/**
 * Draining by hand, of any instance wherever it is known from: named by URL, `host:port`, or id if it is registered.
 * One that is registered drains on all machines that share the registry, any other on this one.
 */
export function drainRoutes(deps: DrainRoutesDeps) {
  const answer = async (request: Request, name: string, draining: boolean): Promise<Response> => {
    const body = await readBody(request)
    if (body instanceof Response) return body
    const service = deps.services().find((each) => each.name === name)
    if (service === undefined) return refuse(request, 404, "NOT_FOUND", "There is no such service.")
    const registered = findRegistered(deps.registry, name, body.instance)
    const known = service.instances.find(({ url }) => isMeant(url, registered?.url ?? body.instance))
    const url = registered?.url ?? known?.url
    if (url === undefined || !(await move(registered?.id, name, url, draining)))
      return refuse(request, 404, "NOT_FOUND", "The service has no such instance.")
    const action = draining ? "instance.drain" : "instance.undrain"
    await deps.record(recordOf(operatorOf(request), action, "success", url, { service: name }))
    const everywhere = registered !== undefined
    return ok({ service: name, instance: url, draining, everywhere, in_flight: known?.inFlight ?? 0 })
  }
  const move = async (id: string | undefined, service: string, url: string, on: boolean): Promise<boolean> =>
    id === undefined
      ? deps.drainInstance(service, url, on)
      : (await deps.registry.drainInstance(service, id, on)) !== undefined
  return new Elysia({ prefix: "/admin/v1/services/:name/instances" })
    .post("/drain", ({ request, params: { name } }) => answer(request, name, true), { parse: "none" })
    .post("/undrain", ({ request, params: { name } }) => answer(request, name, false), { parse: "none" })
}

function findRegistered(registry: RegistryCore, service: string, text: string) {
  for (const instance of registry.instances())
    if (instance.service === service && (instance.id === text || isMeant(instance.url, text))) return instance
  return undefined
}

/** By its URL, with or without scheme and the scheme's own port. */
function isMeant(url: string, text: string): boolean {
  const bare = url.replace(/^https?:\/\//, "")
  return [url, bare].some((each) => each === text || `${each}:80` === text || each === `${text}:80`)
}
