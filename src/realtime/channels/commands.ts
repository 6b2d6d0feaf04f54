import type { Principal } from "../../identity/principal.ts"
import { callerView, messageIn } from "./call_service.ts"
import { UNAVAILABLE } from "./link.ts"
import type { Namespace } from "./namespaces.ts"
import type { Command, CommandOf, Member } from "./protocol.ts"
import { errorText, replyText, subscribedText } from "./replies.ts"
import type { Subscriber, Subscription } from "./room.ts"
import { senderKey } from "./sender_key.ts"
import type { RealtimeWorld } from "./world.ts"

/** A session as its commands see it. */
export interface Client extends Subscriber {
  readonly id: string
  /** `undefined`: nobody knows who it is. */
  readonly principal: Principal | undefined
  /** Name of this device; "": it gave none. */
  readonly device: string
  readonly subscriptions: Map<string, Subscription>
  /** The connection is over. */
  readonly gone?: boolean
}

/** Members in one answer. */
const MAX_MEMBERS = 1000
const DEFAULT_HISTORY = 100

/** Commands of a client that is connected, but for those about who it is. */
export type ChannelCommand = Exclude<Command, { type: "connect" | "refresh" }>

/** The reply, as text; `undefined`: it was sent already. */
export function runCommand(
  client: Client,
  command: ChannelCommand,
  world: RealtimeWorld,
): string | Promise<string | undefined> {
  switch (command.type) {
    case "ping":
      return replyText<"ping">(command.id, {})
    case "subscribe":
      return subscribe(client, command, world)
    case "unsubscribe":
      return unsubscribe(client, command, world)
    case "publish":
      return publish(client, command, world)
    case "history":
      return history(client, command, world)
    case "presence":
      return presence(client, command, world)
    case "ack":
      return acknowledge(client, command, world)
    case "rpc":
      return callMethod(client, command, world)
  }
}

async function subscribe(
  client: Client,
  { id, channel, since }: CommandOf<"subscribe">,
  world: RealtimeWorld,
): Promise<string | undefined> {
  const { namespaces, rooms, settings } = world
  const { subscriptions, principal } = client
  const namespace = namespaces.find(channel)
  if (namespace === undefined) return errorText(id, "UNKNOWN_CHANNEL")
  if (subscriptions.has(channel)) return errorText(id, "ALREADY_SUBSCRIBED")
  const may = namespace.decideSubscribe(principal, channel, world.call)
  if (may instanceof Promise) {
    const decided = await may
    if (decided === "unavailable") return errorText(id, "UNAVAILABLE")
    if (!decided) return errorText(id, "FORBIDDEN")
    if (client.gone) return undefined
    if (subscriptions.has(channel)) return errorText(id, "ALREADY_SUBSCRIBED")
    // The service may have taken seconds: what it was asked about may be another namespace by now, or none.
    if (world.namespaces.find(channel)?.identity !== namespace.identity) return errorText(id, "UNAVAILABLE")
  } else if (!may) return errorText(id, "FORBIDDEN")
  if (subscriptions.size >= settings.maxSubscriptions) return errorText(id, "TOO_MANY_SUBSCRIPTIONS")
  const subscription = rooms.enter(client, channel, namespace, acksAs(client, namespace))
  subscriptions.set(channel, subscription)
  const answer = await rooms.subscribe(subscription, since)
  if (answer === undefined) {
    if (subscriptions.get(channel) === subscription) subscriptions.delete(channel)
    return errorText(id, "UNAVAILABLE")
  }
  // At once, so that nothing comes between the two.
  client.send(subscribedText(id, answer, namespace.acked))
  rooms.begin(subscription, answer)
  showEntry(client, subscription, world)
  return undefined
}

/** "": nothing is to be acknowledged. */
function acksAs({ principal, device }: Client, { acked }: Namespace): string {
  if (!acked || principal === undefined) return ""
  return device === "" ? principal.id : `${principal.id}/${device}`
}

function unsubscribe(
  client: Client,
  { id, channel }: CommandOf<"unsubscribe">,
  world: RealtimeWorld,
): string {
  const subscription = client.subscriptions.get(channel)
  if (subscription === undefined) return errorText(id, "NOT_SUBSCRIBED")
  client.subscriptions.delete(channel)
  leaveRoom(client, subscription, world)
  return replyText<"unsubscribe">(id, {})
}

/** Shows others that the client is there, where the namespace does. */
export function showEntry(client: Client, { room }: Subscription, { link }: RealtimeWorld): void {
  const { channel, namespace } = room
  const { presence, join_leave } = namespace.options
  if (presence || join_leave)
    void link.ask({ do: "enter", channel, member: memberOf(client), announce: join_leave })
}

/** Ends a subscription of the client, and its presence. */
export function leaveRoom(client: Client, subscription: Subscription, { rooms, link }: RealtimeWorld): void {
  rooms.remove(subscription)
  const { channel, namespace } = subscription.room
  const { presence, join_leave } = namespace.options
  if (presence || join_leave)
    void link.ask({ do: "leave", channel, member: memberOf(client), announce: join_leave })
}

const memberOf = ({ id, principal }: Client): Member =>
  principal === undefined ? { client: id } : { client: id, user: principal.id }

async function publish(
  { id: clientId, principal }: Client,
  { id, channel, data, key }: CommandOf<"publish">,
  world: RealtimeWorld,
): Promise<string> {
  const namespace = world.namespaces.find(channel)
  if (namespace === undefined) return errorText(id, "UNKNOWN_CHANNEL")
  const may = namespace.decidePublish(principal, channel, world.call)
  const decided = may instanceof Promise ? await may : may
  if (decided === "unavailable") return errorText(id, "UNAVAILABLE")
  if (!decided) return errorText(id, "FORBIDDEN")
  const result = await world.publish(namespace, channel, data, {
    principal,
    publisher: principal?.kind === "user" ? { user: principal.id } : undefined,
    key: senderKey(key, principal, clientId),
  })
  if (typeof result === "string") return errorText(id, result)
  if ("refused" in result) return errorText(id, result.refused, result.reason)
  const { epoch, offset, duplicate } = result
  return replyText<"publish">(id, { position: { epoch, offset }, duplicate })
}

async function history(
  { subscriptions }: Client,
  { id, channel, since, limit = DEFAULT_HISTORY }: CommandOf<"history">,
  { link, rooms: { batchBytes: bytes } }: RealtimeWorld,
): Promise<string> {
  const subscription = subscriptions.get(channel)
  if (subscription === undefined) return errorText(id, "NOT_SUBSCRIBED")
  const { retention } = subscription.room.namespace
  if (retention.size === 0) return errorText(id, "NOT_AVAILABLE")
  const found = await link.ask({ do: "history", channel, since, limit, bytes, retention })
  if (found === UNAVAILABLE) return errorText(id, "UNAVAILABLE")
  const { position, publications, complete } = found
  const head = `{"id":${id},"result":{"position":${JSON.stringify(position)}`
  return `${head},"publications":[${publications.join(",")}],"complete":${complete}}}`
}

async function presence(
  { subscriptions }: Client,
  { id, channel }: CommandOf<"presence">,
  { link }: RealtimeWorld,
): Promise<string> {
  const subscription = subscriptions.get(channel)
  if (subscription === undefined) return errorText(id, "NOT_SUBSCRIBED")
  if (!subscription.room.namespace.options.presence) return errorText(id, "NOT_AVAILABLE")
  const members = await link.ask({ do: "members", channel, limit: MAX_MEMBERS })
  return members === UNAVAILABLE
    ? errorText(id, "UNAVAILABLE")
    : replyText<"presence">(id, { members: [...members] })
}

async function callMethod(
  { principal }: Client,
  { id, method, data }: CommandOf<"rpc">,
  { methods, call }: RealtimeWorld,
): Promise<string> {
  const found = Object.hasOwn(methods, method) ? methods[method] : undefined
  if (found === undefined) return errorText(id, "UNKNOWN_METHOD")
  if (
    principal === undefined ||
    (found.roles.length > 0 && !found.roles.some((role) => principal.roles.includes(role))) ||
    !found.scopes.every((scope) => principal.scopes.includes(scope))
  )
    return errorText(id, "FORBIDDEN")
  const answer = await call(found, { method, user: callerView(principal), data: data ?? null })
  if (answer === undefined || answer.status >= 500) return errorText(id, "UNAVAILABLE")
  if (answer.status >= 300) return errorText(id, "REFUSED", messageIn(answer.value))
  return replyText<"rpc">(id, { data: answer.value ?? null })
}

async function acknowledge(
  { subscriptions }: Client,
  { id, channel, offset }: CommandOf<"ack">,
  { link, now }: RealtimeWorld,
): Promise<string> {
  const subscription = subscriptions.get(channel)
  if (subscription === undefined) return errorText(id, "NOT_SUBSCRIBED")
  const { room, acksAs: subscriber } = subscription
  if (subscriber === "") return errorText(id, "NOT_AVAILABLE")
  if (offset > subscription.sent) return errorText(id, "INVALID_COMMAND")
  const acked = await link.ask({ do: "ack", channel, subscriber, position: { epoch: room.epoch, offset } })
  if (acked === UNAVAILABLE) return errorText(id, "UNAVAILABLE")
  if (acked.epoch === room.epoch && acked.offset > subscription.acked) {
    subscription.acked = acked.offset
    subscription.ackedAt = now()
  }
  return replyText<"ack">(id, {})
}
