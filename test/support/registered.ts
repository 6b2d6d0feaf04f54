import { AddressRule } from "../../src/upstream/discovery/address_rule.ts"
import {
  type Registered,
  type Registration,
  toRegistered,
} from "../../src/upstream/discovery/registration.ts"

export const NO_RULE = new AddressRule([])

/** An instance as the registry keeps it, made of a request. */
export function registered(
  request: Partial<Registration> = {},
  { at = 1000, client = "10.0.0.9" } = {},
): Registered {
  const whole = { service_name: "context", host: "10.0.0.1", port: 8001, ...request }
  const made = toRegistered(whole, { client, rule: NO_RULE, at })
  if (made.kind === "unfit") throw new Error(`${made.field} ${made.message}`)
  return made.instance
}
