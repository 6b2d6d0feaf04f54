import { type AdminDeps, createAdmin } from "../admin/app.ts"
import { blockRoutes } from "../admin/blocks.ts"
import { type AdminPort, openAdmin } from "../admin/listen.ts"
import { peopleRoutes } from "../admin/people/routes.ts"
import { quotaRoutes } from "../admin/quotas/routes.ts"
import { realtimeAdminRoutes } from "../admin/realtime/admin_routes.ts"
import { adminRegistryRoutes } from "../admin/registry/admin_routes.ts"
import { drainRoutes } from "../admin/registry/drain_routes.ts"
import type { RegistryRoutesDeps } from "../admin/registry/routes.ts"
import { randomToken } from "../admin/token.ts"
import type { Config } from "../config/schema.ts"
import type { Control } from "../gateway/control.ts"
import { type Elsewhere, withElsewhere } from "../gateway/elsewhere.ts"
import { StartError } from "../gateway/supervisor.ts"
import { now } from "../lib/clock.ts"
import { formatAddress } from "../lib/format_address.ts"
import { VERSION } from "../lib/version.ts"
import type { Log } from "../observe/log.ts"
import type { LogEvent } from "../observe/log_events.ts"
import type { Hub } from "../realtime/channels/hub.ts"
import type { ControlIdentity } from "./identity.ts"

/** Opens the port of operators; ends the control plane and throws a `StartError` where it cannot. */
export function startAdmin(
  control: Control,
  identity: ControlIdentity,
  registry: RegistryRoutesDeps,
  elsewhere: Elsewhere | undefined,
  hub: Hub,
  { admin }: Config,
  log: Log,
  writeLine: (line: string) => void,
): AdminPort {
  const random = admin.token === undefined ? randomToken() : undefined
  const deps: AdminDeps = {
    version: VERSION,
    wallClock: Date.now,
    log,
    token: () => random ?? control.config.admin.token ?? admin.token!,
    config: () => control.config,
    record: (record) => identity.record(record),
    groups: [
      blockRoutes({
        blocks: control.abuse,
        now,
        wallClock: Date.now,
        record: (record, event) => identity.record(record, event),
      }),
      peopleRoutes({ context: identity.context, config: () => control.config }),
      quotaRoutes({ context: identity.context, config: () => control.config }),
      adminRegistryRoutes(registry),
      realtimeAdminRoutes({ hub, config: () => control.config, record: (record) => identity.record(record) }),
      drainRoutes({
        ...registry,
        services: () => control.services(),
        drainInstance: (service, url, on) => control.drainInstance(service, url, on),
      }),
    ],
    ready: () => !control.draining,
    services: () => control.services(),
    status: () => ({ ...control.status(), services: withElsewhere(control.services(), elsewhere) }),
    reload: () => control.reload(),
    resetBreaker: (service) => control.resetBreaker(service),
    returnInstances: (service, url) => control.returnInstances(service, url),
    metrics: async () => ({
      text: await control.metrics.text(),
      contentType: control.metrics.contentType,
    }),
  }
  let port: AdminPort
  try {
    port = openAdmin(createAdmin(deps), admin.host, admin.port)
  } catch (error) {
    control.terminate()
    const { code, message } = error as NodeJS.ErrnoException
    const reason = code === "EADDRINUSE" ? "the port is taken by another program" : message
    throw new StartError(`listening on ${formatAddress(admin.host, admin.port)} for the admin API: ${reason}`)
  }
  // Not through the log: that would redact it, and this is the one place where it is shown.
  if (random !== undefined) {
    const event: LogEvent = "admin.token"
    writeLine(JSON.stringify({ time: new Date().toISOString(), level: "warn", event, token: random }))
  }
  return port
}
