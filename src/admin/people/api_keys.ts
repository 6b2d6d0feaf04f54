import { Elysia } from "elysia"
import { type ApiKey, statusOfKey } from "../../identity/api_key_rows.ts"
import {
  DEFAULT_OVERLAP_MS,
  findApiKey,
  issueApiKey,
  listApiKeys,
  MAX_OVERLAP_MS,
  MIN_OVERLAP_MS,
  revokeApiKey,
  rotateApiKey,
} from "../../identity/api_keys.ts"
import { findUser } from "../../identity/users.ts"
import { isAddressRange } from "../../lib/address_list.ts"
import { isoDate } from "../../lib/iso_date.ts"
import { Type } from "../../lib/type.ts"
import { ok, operatorOf, refuse } from "../answer.ts"
import type { FieldError } from "../field_errors.ts"
import { Moment, momentOf } from "./moment.ts"
import type { People } from "./people.ts"
import { compileBody, compileQuery, fields, isoDateOrNull, PAGE, readPage, unfitFields } from "./read.ts"
import { Name, Roles, Scopes, Tier, unknownRights } from "./rights.ts"

/** Travels to services as the id of the caller. */
const Owner = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,99}$" })
/** No zones: they mean something on one machine only. */
const AddressText = Type.String({ pattern: "^[0-9A-Fa-f:./]{2,64}$" })
const Expiry = Type.Optional(Type.Union([Moment, Type.Null()]))

const readList = compileQuery(fields({ ...PAGE, owner: Type.Optional(Owner) }))

const readNew = compileBody(
  fields({
    name: Name,
    owner: Owner,
    roles: Type.Optional(Roles),
    scopes: Type.Optional(Scopes),
    tier: Type.Optional(Tier),
    allowed_ips: Type.Optional(Type.Array(AddressText, { maxItems: 64, uniqueItems: true })),
    expires_at: Expiry,
  }),
)

const readRotation = compileBody(
  fields({
    /** 0 ends the old key at once. */
    overlap_seconds: Type.Optional(
      Type.Union([
        Type.Literal(0),
        Type.Integer({ minimum: MIN_OVERLAP_MS / 1000, maximum: MAX_OVERLAP_MS / 1000 }),
      ]),
    ),
    expires_at: Type.Optional(Moment),
  }),
)

/** API keys: made, listed, rotated and revoked by operators. A key itself is shown once, when it is made. */
export function apiKeyRoutes({ context, config }: People) {
  const { store, wallClock } = context
  const view = (key: ApiKey) => toView(key, wallClock())
  return new Elysia({ prefix: "/admin/v1/api-keys" })
    .get("/", async ({ request }) => {
      const query = readList(request)
      if (query instanceof Response) return query
      const { owner } = query
      const { items, next } = await readPage(query, (page) => listApiKeys(store, { ...page, owner }))
      return ok({ api_keys: items.map(view), next_cursor: next })
    })
    .post(
      "/",
      async ({ request }) => {
        const body = await readNew(request)
        if (body instanceof Response) return body
        const { name, owner, roles = [], scopes = [], allowed_ips = [], expires_at } = body
        const expiry = expiryOf(expires_at, wallClock())
        const errors = [
          ...unknownRights(body, config()),
          ...unfitAddresses(allowed_ips),
          ...(expiry === "unfit" ? [PAST] : []),
        ]
        const account = await findUser(store, owner)
        if (account !== undefined && account.status !== "active")
          errors.push({ field: "/owner", message: "is an account that is disabled or deleted" })
        if (errors.length > 0 || expiry === "unfit") return unfitFields(request, errors)
        const tier = body.tier ?? context.settings().tiers[0]!
        const wanted = { name, owner, roles, scopes, tier, allowedIps: allowed_ips, expiresAt: expiry }
        const made = await issueApiKey(context, wanted, operatorOf(request))
        if (made.kind === "too_many") return tooMany(request, made.max)
        return ok({ key: made.secret, ...view(made.key) }, 201)
      },
      { parse: "none" },
    )
    .get("/:id", async ({ request, params: { id } }) => {
      const key = await findApiKey(store, id)
      return key === undefined ? noKey(request) : ok(view(key))
    })
    .post(
      "/:id/rotate",
      async ({ request, params: { id } }) => {
        const body = await readRotation(request)
        if (body instanceof Response) return body
        const expiresAt = expiryOf(body.expires_at, wallClock())
        if (expiresAt === "unfit") return unfitFields(request, [PAST])
        const overlapMs =
          body.overlap_seconds === undefined ? DEFAULT_OVERLAP_MS : body.overlap_seconds * 1000
        const made = await rotateApiKey(context, id, { overlapMs, expiresAt }, operatorOf(request))
        switch (made.kind) {
          case "not_found":
            return noKey(request)
          case "not_active":
            return refuse(request, 409, "NOT_ACTIVE", "The key has expired or was revoked; make a new one.")
          case "too_many":
            return tooMany(request, made.max)
          case "made":
            return ok({ key: made.secret, ...view(made.key), replaced: view(made.old) }, 201)
        }
      },
      { parse: "none" },
    )
    .delete("/:id", async ({ request, params: { id } }) => {
      const revoked = await revokeApiKey(context, id, operatorOf(request))
      return revoked.kind === "not_found" ? noKey(request) : ok(view(revoked.key))
    })
}

const PAST: FieldError = { field: "/expires_at", message: "must be a time to come" }

/** `undefined`: never. */
function expiryOf(text: string | null | undefined, now: number): number | undefined | "unfit" {
  if (text === undefined || text === null) return undefined
  const at = momentOf(text)
  return at === undefined || at <= now ? "unfit" : at
}

function unfitAddresses(entries: readonly string[]): FieldError[] {
  return entries.flatMap((entry, i) =>
    isAddressRange(entry)
      ? []
      : [{ field: `/allowed_ips/${i}`, message: "is neither an IP address nor a CIDR range" }],
  )
}

const noKey = (request: Request): Response =>
  refuse(request, 404, "NOT_FOUND", "There is no API key with this id.")

const tooMany = (request: Request, max: number): Response =>
  refuse(request, 409, "LIMIT_REACHED", `There are ${max} API keys; revoke some that are not needed.`)

function toView(key: ApiKey, now: number) {
  return {
    id: key.id,
    prefix: key.prefix,
    name: key.name,
    owner: key.owner,
    roles: key.roles,
    scopes: key.scopes,
    tier: key.tier,
    allowed_ips: key.allowedIps,
    status: statusOfKey(key, now),
    created_at: isoDate(key.createdAt),
    expires_at: isoDateOrNull(key.expiresAt),
    last_used_at: isoDateOrNull(key.lastUsedAt),
    revoked_at: isoDateOrNull(key.revokedAt),
    replaces: key.replaces ?? null,
  }
}
