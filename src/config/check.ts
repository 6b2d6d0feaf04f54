import { checkRealtime } from "../realtime/channels/options.ts"
import { checkAbuse } from "../safety/abuse_options.ts"
import { checkAuth } from "./check_auth.ts"
import { checkDiscovery } from "./check_discovery.ts"
import { checkExempt } from "./check_exempt.ts"
import { checkLimits } from "./check_limits.ts"
import { checkQuotaRoutes } from "./check_quotas.ts"
import { checkRoutes } from "./check_routes.ts"
import { checkSafetyEvents } from "./check_safety.ts"
import { checkServer } from "./check_server.ts"
import { checkServices } from "./check_services.ts"
import type { Decoded } from "./decode.ts"
import type { Report } from "./report.ts"

/** What the schema cannot say: references, contradictions, files. Reads the TLS and key files that are named. */
export function checkConfig(decoded: Decoded, report: Report): void {
  checkServer(decoded, report)
  checkAuth(decoded, report)
  const { abuse, realtime, auth } = decoded.config
  if (abuse !== undefined)
    for (const { at, message, value } of checkAbuse(abuse)) report.problem(["abuse", ...at], message, value)
  if (realtime !== undefined)
    for (const { at, message } of checkRealtime(
      realtime,
      auth !== undefined,
      new Set(Object.keys(decoded.config.services)),
    ))
      report.problem(["realtime", ...at], message)
  checkSafetyEvents(decoded, report)
  checkServices(decoded, report)
  checkDiscovery(decoded, report)
  checkRoutes(decoded, report)
  checkQuotaRoutes(decoded, report)
  checkLimits(decoded, report)
  checkExempt(decoded, report)
}
