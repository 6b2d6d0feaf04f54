import type { Described } from "../auth/reference.ts"

const REQUEST = {
  service_name: "context_service",
  host: "10.0.3.17",
  port: 8001,
  check_endpoint: "/health",
  check_interval: 30,
  ttl: 30,
}
const INSTANCE = {
  id: "4f1c2a9b7d3e5f60",
  service_name: "context_service",
  url: "http://10.0.3.17:8001",
  weight: 1,
  version: "",
  zone: "",
  tags: [],
  depends_on: [],
  check_endpoint: "/health",
  check_interval: 30,
  ttl: 30,
  draining: false,
  registered_at: "2026-01-02T12:00:00.000Z",
}
const SHOWN = { ...INSTANCE, healthy: true, in_flight: 3 }
const DRAINING = { ...SHOWN, draining: true }

/** The endpoints of the registry, as IDENTITY_REFERENCE has those of identity. */
export const REGISTRY_REFERENCE: Readonly<Record<string, Described>> = {
  "GET /registry/services": {
    summary: "Registered instances of the services the caller may know of",
    answer: { services: [{ name: "context_service", instances: [SHOWN] }] },
    failures: ["FORBIDDEN"],
  },
  "POST /registry/services": {
    summary: "Register an instance, or register it again with other words",
    description:
      "Needs the scope `registry:<service_name>` or `registry:*`. Without `host` it is the caller's own address. With `ttl` it leaves when no heartbeat comes for so long (5s to 1h); without `ttl` it stays until it is deregistered if it has a `check_endpoint`, else its TTL is 30s. Also: `scheme`, `weight`, `version`, `zone`, `tags`, `depends_on`.",
    request: REQUEST,
    status: 201,
    answer: { ...INSTANCE, heartbeat_interval: 10 },
    failures: ["INVALID_REQUEST", "INVALID_FIELD", "UNSUPPORTED_MEDIA_TYPE", "FORBIDDEN", "CONFLICT"],
  },
  "GET /registry/services/:name": {
    summary: "Registered instances of one service",
    answer: { name: "context_service", instances: [SHOWN] },
    failures: ["FORBIDDEN"],
  },
  "GET /registry/services/:name/instances/:id": {
    summary: "A registered instance",
    answer: SHOWN,
    failures: ["FORBIDDEN", "NOT_FOUND"],
  },
  "DELETE /registry/services/:name/instances/:id": {
    summary: "Deregister an instance",
    answer: { id: INSTANCE.id, deregistered: true },
    failures: ["FORBIDDEN", "NOT_FOUND"],
  },
  "PUT /registry/services/:name/instances/:id/heartbeat": {
    summary: "Tell that an instance is alive; after 404 register it anew",
    answer: { id: INSTANCE.id, ttl: 30, heartbeat_interval: 10, draining: false },
    failures: ["FORBIDDEN", "NOT_FOUND"],
  },
  "POST /registry/services/:name/instances/:id/drain": {
    summary: "Send an instance nothing new; what it works on it finishes",
    description: "`in_flight` tells what it still works on for this gateway.",
    answer: DRAINING,
    failures: ["FORBIDDEN", "NOT_FOUND"],
  },
  "DELETE /registry/services/:name/instances/:id/drain": {
    summary: "Send a drained instance requests again",
    answer: SHOWN,
    failures: ["FORBIDDEN", "NOT_FOUND"],
  },
  "GET /registry/watch": {
    summary: "Changes as server-sent events, from a snapshot on or from `Last-Event-ID` on",
    description:
      "Events: snapshot, registered, changed, draining, undrained, deregistered, expired; reset before a snapshot for whoever was away too long. Ends after 5 minutes, to be opened again.",
    failures: ["FORBIDDEN"],
  },
}
