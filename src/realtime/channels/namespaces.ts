import type { Principal } from "../../identity/principal.ts"
import type { Retention } from "./channel_store.ts"
import { compileChannelCondition } from "./condition.ts"
import { type AccessOptions, type NamespaceOptions, prefixOf, type RealtimeOptions } from "./options.ts"
import { CHANNEL_NAME } from "./protocol.ts"

/** Whether a caller may; `undefined`: who it is was not said. */
export type Access = (principal: Principal | undefined, channel: string) => boolean

/** A kind of channels, compiled. */
export interface Namespace {
  readonly name: string
  readonly options: NamespaceOptions
  readonly retention: Retention
  readonly maySubscribe: Access
  readonly mayPublish: Access
  /** At least once. */
  readonly acked: boolean
  /** What a change of makes subscriptions void. */
  readonly identity: string
}

const NOBODY: Access = () => false

/** Compiled; `find` gives the namespace of a channel, `undefined` for a name that is none or belongs to none. */
export interface Namespaces {
  find(channel: string): Namespace | undefined
}

export function compileNamespaces(options: Pick<RealtimeOptions, "namespaces">): Namespaces {
  const byPrefix = new Map<string, Namespace>()
  for (const [name, namespace] of Object.entries(options.namespaces)) {
    const prefix = prefixOf(name, namespace)
    byPrefix.set(prefix, compileNamespace(name, prefix, namespace))
  }
  return {
    find(channel) {
      const namespace = byPrefix.get(channel.slice(0, channel.indexOf(":") + 1))
      return namespace !== undefined && CHANNEL_NAME.test(channel) ? namespace : undefined
    },
  }
}

function compileNamespace(name: string, prefix: string, options: NamespaceOptions): Namespace {
  return {
    name,
    options,
    retention: { size: options.history.size, ttlMs: options.history.ttl },
    maySubscribe: compileAccess(options.subscribe, prefix),
    mayPublish: compileAccess(options.publish, prefix),
    acked: options.delivery === "at_least_once",
    identity: JSON.stringify([name, options]),
  }
}

function compileAccess(access: AccessOptions | undefined, prefix: string): Access {
  if (access === undefined) return NOBODY
  if (access.anonymous) return () => true
  const { roles, scopes, when } = access
  const condition = when === undefined ? undefined : compileChannelCondition(when)
  if (typeof condition === "string") throw new Error(`compiling realtime: ${condition}`)
  return (principal, channel) =>
    principal !== undefined &&
    (roles.length === 0 || roles.some((role) => principal.roles.includes(role))) &&
    scopes.every((scope) => principal.scopes.includes(scope)) &&
    (condition === undefined || condition(principal, channel, channel.slice(prefix.length)))
}
