import { Elysia } from "elysia"
import { recordOf } from "../identity/accounts.ts"
import type { AuditRecord } from "../identity/context.ts"
import { clientNetwork } from "../lib/client_network.ts"
import type { Clock } from "../lib/clock.ts"
import { isIP } from "../lib/ip.ts"
import { isoDate } from "../lib/iso_date.ts"
import { Type } from "../lib/type.ts"
import { parseDuration } from "../lib/units.ts"
import type { Block } from "../safety/block.ts"
import { blockEvent } from "../safety/block_event.ts"
import type { AlertEvent } from "../store/events.ts"
import { ok, operatorOf, refuse } from "./answer.ts"
import { compileBody, compileQuery, fields, limitOf, PAGE, unfitFields } from "./people/read.ts"

/** Who is blocked, as the control plane keeps it. Clients are as lib/client_network.ts writes them. */
export interface Blocks {
  /** The oldest first. */
  blocks(): Iterable<Block>
  block(client: string, lastsMs: number, note: string): Block
  /** `false`: it is not blocked. */
  unblock(client: string): boolean
  isExempt(address: string): boolean
}

export interface BlockRoutesDeps {
  readonly blocks: Blocks
  /** The clock of the blocks. */
  readonly now: Clock
  readonly wallClock: () => number
  /** Puts what an operator did on record, where there is a store. Never rejects. */
  readonly record: (record: AuditRecord, event: AlertEvent) => Promise<void>
}

const LONGEST_MS = 366 * 86_400_000

const readList = compileQuery(
  fields({ limit: PAGE.limit, cursor: Type.Optional(Type.String({ pattern: "^[0-9]{1,15}$" })) }),
)
const readNew = compileBody(
  fields({
    address: Type.String({ maxLength: 64 }),
    duration: Type.Union([Type.Number({ minimum: 0 }), Type.String({ maxLength: 16 })]),
    reason: Type.Optional(Type.String({ maxLength: 200, pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" })),
  }),
)

/** Blocked clients: the list, the latest first; blocks by hand; unblocking. Each change is put on record. */
export function blockRoutes({ blocks, now, wallClock, record }: BlockRoutesDeps) {
  const momentOf = (ms: number): string => isoDate(wallClock() + ms - now())
  const toView = ({ client, reason, note, times, startedAtMs, untilMs }: Block) => ({
    address: client,
    reason,
    note,
    times,
    blocked_at: momentOf(startedAtMs),
    ends_at: momentOf(untilMs),
  })
  return new Elysia({ prefix: "/admin/v1/blocks" })
    .get("/", ({ request }) => {
      const query = readList(request)
      if (query instanceof Response) return query
      const limit = limitOf(query.limit)
      const before = query.cursor === undefined ? Number.POSITIVE_INFINITY : Number(query.cursor)
      const all = [...blocks.blocks()].filter(({ id }) => id < before).reverse()
      const items = all.slice(0, limit)
      const next = all.length > limit ? String(items.at(-1)!.id) : null
      return ok({ blocks: items.map(toView), next_cursor: next })
    })
    .post(
      "/",
      async ({ request }) => {
        const body = await readNew(request)
        if (body instanceof Response) return body
        const { address, reason: note = "" } = body
        const client = clientOf(address)
        if (client === undefined)
          return unfitFields(request, [{ field: "/address", message: "is no IP address, such as 192.0.2.1" }])
        const lastsMs = parseDuration(body.duration)
        if (lastsMs === undefined || lastsMs < 1000 || lastsMs > LONGEST_MS)
          return unfitFields(request, [
            { field: "/duration", message: "must be from 1s to 366d, such as 30m" },
          ])
        if (blocks.isExempt(withoutBits(address)))
          return refuse(
            request,
            409,
            "NOT_BLOCKABLE",
            "`abuse.allow` or `server.trusted_proxies` names this address.",
          )
        const block = blocks.block(client, lastsMs, note)
        const details = { duration_s: lastsMs / 1000, reason: note }
        const event = blockEvent(block, "enforce")
        await record(recordOf(operatorOf(request), "client.block", "success", client, details), event)
        return ok(toView(block), 201)
      },
      { parse: "none" },
    )
    .delete("/:address", async ({ request, params }) => {
      const client = clientOf(params.address)
      if (client === undefined || !blocks.unblock(client))
        return refuse(request, 404, "NOT_FOUND", "This address is not blocked.")
      const event = { type: "abuse.unblocked", payload: { client } }
      await record(recordOf(operatorOf(request), "client.unblock", "success", client), event)
      return ok({ address: client, unblocked: true })
    })
}

const withoutBits = (address: string): string => address.replace(/\/64$/, "")

/** Takes any address of the client, without a zone; an IPv6 network as the list writes it too. `undefined`: it is none. */
function clientOf(address: string): string | undefined {
  if (address.includes("%")) return undefined
  const plain = isIP(address) === 0 ? withoutBits(address) : address
  return isIP(plain) === 0 || (plain !== address && isIP(plain) !== 6) ? undefined : clientNetwork(plain)
}
