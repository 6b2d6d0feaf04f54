import { escalatingPolicies, prefixOf } from "../realtime/channels/options.ts"
import { checkSafety } from "../safety/safety_options.ts"
import type { Decoded } from "./decode.ts"
import type { Report } from "./report.ts"

/** Whether safety events have somewhere to go, and policies that raise them have events. */
export function checkSafetyEvents({ config }: Decoded, report: Report): void {
  const { safety, realtime, auth, services } = config
  const namespaces = Object.entries(realtime?.namespaces ?? {})
  const prefixes = new Set(namespaces.map(([name, namespace]) => prefixOf(name, namespace)))
  if (safety !== undefined)
    for (const { at, message } of checkSafety(
      safety,
      auth !== undefined,
      new Set(Object.keys(services)),
      prefixes,
    ))
      report.problem(["safety", ...at], message)
  if (safety?.events !== undefined || realtime === undefined) return
  for (const [namespace, policy] of escalatingPolicies(realtime))
    report.problem(
      ["realtime", "namespaces", namespace, "messages", policy],
      "escalates, but nobody would hear of it: write a section safety with events",
    )
}
