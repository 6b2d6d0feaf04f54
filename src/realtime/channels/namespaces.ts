import type { Principal } from "../../identity/principal.ts"
import { type CallService, callerView, type ServiceCall } from "./call_service.ts"
import type { Retention } from "./channel_store.ts"
import { compileChannelCondition } from "./condition.ts"
import { type AccessOptions, type NamespaceOptions, prefixOf, type RealtimeOptions } from "./options.ts"
import { CHANNEL_NAME } from "./protocol.ts"

/** Whether a caller may by the rules of config; `undefined`: who it is was not said. */
type Access = (principal: Principal | undefined, channel: string) => boolean

/** The same, and what a service says that has the last word; "unavailable": it gave no answer. */
export type LateAccess = (
  principal: Principal | undefined,
  channel: string,
  call: CallService,
) => boolean | Promise<boolean | "unavailable">

/** A kind of channels, compiled. */
export interface Namespace {
  readonly name: string
  readonly options: NamespaceOptions
  readonly retention: Retention
  readonly decideSubscribe: LateAccess
  readonly decidePublish: LateAccess
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
  const { subscribe, publish } = options
  const subscribers = compileAccess(subscribe, prefix)
  const publishers = compileAccess(publish, prefix)
  return {
    name,
    options,
    retention: { size: options.history.size, ttlMs: options.history.ttl },
    decideSubscribe: lateAccess("subscribe", subscribers, subscribe?.ask),
    decidePublish: lateAccess("publish", publishers, publish?.ask),
    acked: options.delivery === "at_least_once",
    // Who has a say in messages, and where they are forwarded to, is nothing to subscribers.
    identity: JSON.stringify([
      name,
      { ...options, messages: undefined, screen: undefined, forward: undefined },
    ]),
  }
}

function lateAccess(action: string, rules: Access, ask: ServiceCall | undefined): LateAccess {
  if (ask === undefined) return rules
  return (principal, channel, call) =>
    rules(principal, channel) && askService(ask, action, principal, channel, call)
}

async function askService(
  ask: ServiceCall,
  action: string,
  principal: Principal | undefined,
  channel: string,
  call: CallService,
): Promise<boolean | "unavailable"> {
  const answer = await call(ask, { action, channel, user: callerView(principal) })
  if (answer === undefined || answer.status >= 500) return "unavailable"
  return answer.status < 300
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
