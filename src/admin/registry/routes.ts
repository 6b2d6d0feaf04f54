import { Elysia } from "elysia"
import { recordOf } from "../../identity/accounts.ts"
import type { AuditRecord } from "../../identity/context.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import type { Registered } from "../../upstream/discovery/registration.ts"
import { toEntry } from "../../upstream/discovery/registry_view.ts"
import type { HealthOf, RegistryCore, RegistryPort } from "./port.ts"

export interface RegistryRoutesDeps {
  readonly registry: RegistryCore
  readonly healthOf: HealthOf
  /** Puts what was done on record, where there is a store. Never rejects. */
  readonly record: (record: AuditRecord) => Promise<void>
}

interface At {
  readonly name: string
  readonly id: string
}

/** A client may send so many heartbeats within a TTL that one or two may get lost. */
const HEARTBEATS_A_TTL = 3

const NO_INSTANCE = fail("NOT_FOUND", { message: "There is no such instance; register it anew." })

/** What services tell of themselves and operators change, the same for both ports, below `/registry`. */
export function registryRoutes(port: RegistryPort, { registry, healthOf, record }: RegistryRoutesDeps) {
  const show = (instance: Registered): object => {
    const health = healthOf(instance.service, instance.url)
    return {
      ...toEntry(instance),
      healthy: health?.healthy ?? null,
      in_flight: health?.inFlight ?? null,
    }
  }
  /** Why whoever asks may not have to do with the service. */
  const forbids = (request: Request, service: string): Failure | undefined => {
    const services = port.services(request)
    if ("kind" in services) return services
    if (services.includes("*") || services.includes(service)) return undefined
    return fail("FORBIDDEN", { details: { missing: { scopes: [`registry:${service}`] } } })
  }
  /** Does something with an instance and shows it. */
  const change = async (
    request: Request,
    { name }: At,
    run: () => Promise<Registered | undefined>,
    toBody: (instance: Registered) => object,
  ): Promise<Response> => {
    const forbidden = forbids(request, name)
    if (forbidden !== undefined) return port.refuse(request, forbidden)
    const instance = await run()
    return instance === undefined ? port.refuse(request, NO_INSTANCE) : port.ok(toBody(instance))
  }
  const drain = (request: Request, params: At, draining: boolean) =>
    change(
      request,
      params,
      async () => {
        const instance = await registry.drainInstance(params.name, params.id, draining)
        const action = draining ? "instance.drain" : "instance.undrain"
        if (instance !== undefined)
          await record(
            recordOf(port.actor(request), action, "success", instance.id, {
              service: params.name,
              url: instance.url,
            }),
          )
        return instance
      },
      show,
    )

  return new Elysia({ prefix: "/registry/services" })
    .get("/", ({ request }) => {
      const services = port.services(request)
      if ("kind" in services) return port.refuse(request, services)
      const all = services.includes("*")
      const found = new Map<string, object[]>()
      for (const instance of registry.instances()) {
        if (!all && !services.includes(instance.service)) continue
        const instances = found.get(instance.service) ?? []
        found.set(instance.service, instances)
        instances.push(show(instance))
      }
      return port.ok({ services: [...found].map(([name, instances]) => ({ name, instances })) })
    })
    .post(
      "/",
      async ({ request }) => {
        const read = await port.read(request)
        if (read.kind === "failure") return port.refuse(request, read)
        const forbidden = forbids(request, read.body.service_name)
        if (forbidden !== undefined) return port.refuse(request, forbidden)
        const { client } = port.actor(request)
        const outcome = registry.register(read.body, client)
        switch (outcome.kind) {
          case "unfit":
            return port.refuse(request, unfit(outcome.field, outcome.message))
          case "full":
            return port.refuse(request, fail("CONFLICT", { message: outcome.message }))
          default:
            return port.ok(registered(outcome.instance), outcome.kind === "created" ? 201 : 200)
        }
      },
      { parse: "none" },
    )
    .get("/:name", ({ request, params: { name } }) => {
      const forbidden = forbids(request, name)
      if (forbidden !== undefined) return port.refuse(request, forbidden)
      const instances = [...registry.instances()].filter(({ service }) => service === name)
      return port.ok({ name, instances: instances.map(show) })
    })
    .get("/:name/instances/:id", ({ request, params }) =>
      change(request, params, async () => find(registry, params), show),
    )
    .put(
      "/:name/instances/:id/heartbeat",
      ({ request, params }) =>
        change(request, params, () => registry.heartbeat(params.name, params.id), beaten),
      { parse: "none" },
    )
    .delete(
      "/:name/instances/:id",
      ({ request, params }) =>
        change(
          request,
          params,
          () => registry.deregister(params.name, params.id),
          ({ id }) => ({ id, deregistered: true }),
        ),
      { parse: "none" },
    )
    .post("/:name/instances/:id/drain", ({ request, params }) => drain(request, params, true), {
      parse: "none",
    })
    .delete("/:name/instances/:id/drain", ({ request, params }) => drain(request, params, false), {
      parse: "none",
    })
}

const unfit = (field: string, message: string): Failure =>
  fail("INVALID_FIELD", { details: { errors: [{ field, message }] } })

function find(registry: RegistryCore, { name, id }: At): Registered | undefined {
  for (const instance of registry.instances())
    if (instance.id === id && instance.service === name) return instance
  return undefined
}

const registered = (instance: Registered): object => ({
  ...toEntry(instance),
  heartbeat_interval: intervalOf(instance),
})

const beaten = (instance: Registered): object => ({
  id: instance.id,
  ttl: instance.ttlMs === 0 ? null : instance.ttlMs / 1000,
  heartbeat_interval: intervalOf(instance),
  draining: instance.draining,
})

/** In seconds; `null`: none are needed. */
const intervalOf = ({ ttlMs }: Registered): number | null =>
  ttlMs === 0 ? null : Math.round(ttlMs / HEARTBEATS_A_TTL) / 1000
