import { type AnyElysia, Elysia } from "elysia"
import type { Config } from "../../config/schema.ts"
import { recordOf } from "../../identity/accounts.ts"
import type { AuditRecord } from "../../identity/context.ts"
import { Type } from "../../lib/type.ts"
import { forwardOrder } from "../../realtime/channels/forward.ts"
import type { Hub } from "../../realtime/channels/hub.ts"
import type { HubAnswers, HubCommand } from "../../realtime/channels/hub_messages.ts"
import { compileNamespaces, type Namespaces } from "../../realtime/channels/namespaces.ts"
import { CHANNEL_NAME } from "../../realtime/channels/protocol.ts"
import { ok, operatorOf, refuse } from "../answer.ts"
import { compileQuery, fields, limitOf, PAGE } from "../people/read.ts"
import { idempotencyKeyFault, parseMessage } from "./message.ts"

export interface RealtimeAdminDeps {
  readonly hub: Pick<Hub, "answer" | "survey">
  readonly config: () => Config
  /** Puts what an operator did on record, where there is a store. Never rejects. */
  readonly record: (record: AuditRecord) => Promise<void>
}

const Name = Type.String({ pattern: CHANNEL_NAME.source })
const readList = compileQuery(
  fields({ limit: PAGE.limit, cursor: Type.Optional(Name), prefix: Type.Optional(Name) }),
)

/** The worker that is said to ask; one with this number there always is. */
const ASKING = 0

/** Channels that have subscribers at this gateway, and messages of operators. */
export function realtimeAdminRoutes({ hub, config, record }: RealtimeAdminDeps): AnyElysia {
  const namespacesOf = createNamespaces()
  const ask = async <C extends HubCommand>(command: C): Promise<HubAnswers[C["do"]] | undefined> => {
    const { answers } = await hub.answer({ kind: "channels", worker: ASKING, commands: [command] })
    const [answer] = answers
    return answer?.ok === true ? (answer.value as HubAnswers[C["do"]]) : undefined
  }
  return new Elysia({ prefix: "/admin/v1/realtime/channels" })
    .get("/", async ({ request }) => {
      const query = readList(request)
      if (query instanceof Response) return query
      const namespaces = namespacesOf(config())
      if (namespaces === undefined) return noRealtime(request)
      const limit = limitOf(query.limit)
      const { cursor = "", prefix = "" } = query
      const found = await hub.survey({ after: cursor, prefix, limit: limit + 1 })
      if (found === undefined) return unavailable(request)
      const items = found.slice(0, limit)
      const channels = items.map(async ({ channel, subscribers }) => {
        const namespace = namespaces.find(channel)
        const history = namespace && { retention: namespace.retention, since: undefined, limit: 1 }
        const read = history && (await ask({ do: "history", channel, ...history }))
        return { channel, namespace: namespace?.name ?? null, subscribers, position: read?.position ?? null }
      })
      const next = found.length > limit ? items.at(-1)!.channel : null
      return ok({ channels: await Promise.all(channels), next_cursor: next })
    })
    .post(
      "/:name/messages",
      async ({ request, params: { name: channel } }) => {
        const namespaces = namespacesOf(config())
        if (namespaces === undefined) return noRealtime(request)
        const namespace = namespaces.find(channel)
        if (namespace === undefined)
          return refuse(request, 404, "NOT_FOUND", "No namespace of the configuration has such a channel.")
        const key = request.headers.get("idempotency-key") ?? undefined
        const message = idempotencyKeyFault(key) ?? parseMessage(await request.bytes())
        if ("code" in message)
          return refuse(request, message.code === "INVALID_FIELD" ? 422 : 400, message.code, message.message)
        const text = JSON.stringify(message.data)
        const { max_message, forward } = namespace.options
        if (Buffer.byteLength(text) > max_message)
          return refuse(
            request,
            413,
            "PAYLOAD_TOO_LARGE",
            "The message is larger than its namespace allows.",
            {
              limit: max_message,
            },
          )
        const operator = operatorOf(request)
        const origin = { principal: undefined, requestId: operator.requestId }
        const published = await ask({
          do: "publish",
          channel,
          namespace: namespace.name,
          // Callers' keys begin with what they are.
          request: { data: text, publisher: undefined, key: key === undefined ? undefined : `:${key}` },
          retention: namespace.retention,
          forward: forward?.from === "everybody" ? forwardOrder(forward, origin) : undefined,
        })
        if (published === undefined) return unavailable(request)
        const { epoch, offset, duplicate } = published
        await record(recordOf(operator, "realtime.publish", "success", channel, { epoch, offset }))
        return ok({ position: { epoch, offset }, duplicate })
      },
      { parse: "none" },
    )
}

/** The namespaces of a configuration, compiled once; `undefined`: it has no section `realtime`. */
function createNamespaces(): (config: Config) => Namespaces | undefined {
  let of: Config["realtime"]
  let compiled: Namespaces | undefined
  return ({ realtime }) => {
    if (realtime !== of) {
      of = realtime
      compiled = realtime === undefined ? undefined : compileNamespaces(realtime)
    }
    return compiled
  }
}

const noRealtime = (request: Request): Response =>
  refuse(request, 409, "NO_REALTIME", "There are no channels: set `realtime` in config.")

const unavailable = (request: Request): Response =>
  refuse(request, 503, "OVERLOADED", "Channels cannot be reached just now.")
