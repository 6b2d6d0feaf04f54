import { Elysia } from "elysia"
import type { ServiceView } from "../upstream/describe.ts"

export interface HealthDeps {
  readonly version: string
  /** Whether new requests should come here: a configuration is in force and no shutdown has begun. */
  readonly ready: () => boolean
  readonly services: () => readonly ServiceView[]
  /** Wall clock, milliseconds since the epoch. */
  readonly wallClock: () => number
}

const NO_STORE = { "cache-control": "no-store" }
const answer = (status: number, body: object): Response => Response.json(body, { status, headers: NO_STORE })

const detail = (summary: string, description: string, statuses: Record<number, string>) => ({
  detail: {
    tags: ["gateway"],
    summary,
    description,
    security: [],
    responses: Object.fromEntries(
      Object.entries(statuses).map(([status, text]) => [
        status,
        { description: text, content: { "application/json": { schema: { type: "object" as const } } } },
      ]),
    ),
  },
})

/** The health endpoints, public and unauthenticated: they tell states, never addresses. */
export function createHealth(deps: HealthDeps) {
  const timestamp = () => new Date(deps.wallClock()).toISOString()
  return new Elysia({ name: "health" })
    .get(
      "/health",
      () => answer(200, { status: "healthy", version: deps.version, timestamp: timestamp() }),
      detail("Health for load balancers", "The gateway answers.", { 200: "It does." }),
    )
    .get(
      "/health/live",
      () => answer(200, { status: "live" }),
      detail("Liveness", "Restart the process when this does not answer.", { 200: "It is alive." }),
    )
    .get(
      "/health/ready",
      () => (deps.ready() ? answer(200, { status: "ready" }) : answer(503, { status: "draining" })),
      detail("Readiness", "Whether new requests should come to this instance.", {
        200: "They should.",
        503: "It is starting or shutting down.",
      }),
    )
    .get(
      "/health/dependencies",
      () => {
        const services = deps.services()
        const status = worst(services)
        return answer(status === "down" ? 503 : 200, {
          status,
          timestamp: timestamp(),
          services: Object.fromEntries(services.map((service) => [service.name, publicHealth(service)])),
        })
      },
      detail(
        "Health of the services behind",
        "Each service with its circuit, its instances and what it depends on. Where that is at fault, `chain` names the services from this one to the cause.",
        {
          200: "Every service can answer, some perhaps degraded.",
          503: "At least one service is down.",
        },
      ),
    )
}

/** Instances are told apart by position: their addresses are nobody's business here. */
function publicHealth(service: ServiceView): object {
  return {
    status: service.status,
    // Only what leads elsewhere tells something.
    ...(service.chain.length > 1 && { chain: service.chain }),
    ...(service.dependsOn.length > 0 && { depends_on: service.dependsOn }),
    ...(service.breaker !== undefined && { breaker: service.breaker.state }),
    instances: service.instances.map(({ healthy, ejectedForMs, draining }, index) => ({
      index,
      healthy,
      ejected: ejectedForMs > 0,
      ...(draining && { draining }),
    })),
  }
}

function worst(services: readonly ServiceView[]): ServiceView["status"] {
  if (services.some((service) => service.status === "down")) return "down"
  return services.some((service) => service.status === "degraded") ? "degraded" : "healthy"
}
