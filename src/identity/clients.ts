import type { Sql } from "../store/sql.ts"
import { type Actor, recordOf } from "./accounts.ts"
import type { IdentityContext } from "./context.ts"
import { hashOfToken, newOpaqueToken } from "./opaque_token.ts"
import { accessEndsBy } from "./sessions.ts"

/** Clients kept; at the cap no more are made. */
export const MAX_CLIENTS = 10_000
const SECRET_PREFIX = "gh_cs_"

export const CLIENT_STATUSES = ["active", "disabled"] as const
export type ClientStatus = (typeof CLIENT_STATUSES)[number]

/** An OAuth 2 client: a service that signs in with id and secret. Times are milliseconds since the epoch. */
export interface Client {
  readonly id: string
  readonly name: string
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly status: ClientStatus
  readonly createdAt: number
  readonly updatedAt: number
}

export type NewClient = Pick<Client, "name" | "roles" | "scopes">
/** Keys that are absent stay as they are. */
export type ClientChanges = Partial<Pick<Client, "name" | "roles" | "scopes" | "status">>
export type NoSuchClient = { readonly kind: "not_found" }

/** `secret`: for the one who asked; it cannot be shown again. */
export interface ClientWithSecret {
  readonly kind: "made"
  readonly client: Client
  readonly secret: string
}

interface Row {
  id: string
  name: string
  roles: string
  scopes: string
  status: ClientStatus
  created_at: number
  updated_at: number
}

/** Without the hash of the secret: it never leaves the store. */
const COLUMNS = "id, name, roles, scopes, status, created_at, updated_at"

/**
 * What all tokens of a client since its last change have in common, as those of a sign-in have: any change of the
 * client revokes them. `updatedAt`: of the client.
 */
export function sessionOfClient(id: string, updatedAt: number): string {
  return `client:${id}:${updatedAt}`
}

/** Names of roles and scopes must be checked before. Rejects with a `StoreError`. */
export function createClient(
  context: IdentityContext,
  { name, roles, scopes }: NewClient,
  actor: Actor,
): Promise<ClientWithSecret | { readonly kind: "too_many"; readonly max: number }> {
  const at = context.wallClock()
  const secret = newOpaqueToken(SECRET_PREFIX, context.randomBytes)
  const id = Bun.randomUUIDv7("hex", at)
  const client: Client = { id, name, roles, scopes, status: "active", createdAt: at, updatedAt: at }
  return context.store.transaction(async (sql) => {
    const { n } = (await sql.get<{ n: number }>("SELECT count(*) AS n FROM clients"))!
    if (n >= MAX_CLIENTS) return { kind: "too_many", max: MAX_CLIENTS }
    await sql.run(
      `INSERT INTO clients (id, secret_hash, name, roles, scopes, status, created_at, updated_at)
       VALUES ($1, $2, $3, $4, $5, 'active', $6, $6)`,
      [id, hashOfToken(secret), name, JSON.stringify(roles), JSON.stringify(scopes), at],
    )
    await context.audit(sql, recordOf(actor, "client.create", "success", id, { name }))
    return { kind: "made", client, secret }
  })
}

/** The tokens it has end, on all workers of all VMs within a second; it gets new ones by asking, if it still may. */
export function changeClient(
  context: IdentityContext,
  id: string,
  changes: ClientChanges,
  actor: Actor,
): Promise<{ readonly kind: "changed"; readonly client: Client } | NoSuchClient> {
  return context.store.transaction(async (sql) => {
    const before = await endTokens(context, sql, id)
    if (before === undefined) return { kind: "not_found" }
    const { name, roles, scopes, status } = { ...before, ...changes }
    await sql.run("UPDATE clients SET name = $2, roles = $3, scopes = $4, status = $5 WHERE id = $1", [
      id,
      name,
      JSON.stringify(roles),
      JSON.stringify(scopes),
      status,
    ])
    const details = { changed: Object.keys(changes).join(" "), status }
    await context.audit(sql, recordOf(actor, "client.change", "success", id, details))
    return { kind: "changed", client: (await findClient(sql, id))! }
  })
}

/** A new secret. The old one and all tokens it gave are of no use from then on. */
export function rotateClientSecret(
  context: IdentityContext,
  id: string,
  actor: Actor,
): Promise<ClientWithSecret | NoSuchClient> {
  return context.store.transaction(async (sql) => {
    if ((await endTokens(context, sql, id)) === undefined) return { kind: "not_found" }
    const secret = newOpaqueToken(SECRET_PREFIX, context.randomBytes)
    await sql.run("UPDATE clients SET secret_hash = $2 WHERE id = $1", [id, hashOfToken(secret)])
    await context.audit(sql, recordOf(actor, "client.rotate_secret", "success", id))
    return { kind: "made", client: (await findClient(sql, id))!, secret }
  })
}

/** With its tokens. False: there is none. */
export function deleteClient(context: IdentityContext, id: string, actor: Actor): Promise<boolean> {
  return context.store.transaction(async (sql) => {
    const before = await endTokens(context, sql, id)
    if (before === undefined) return false
    await sql.run("DELETE FROM clients WHERE id = $1", [id])
    await context.audit(sql, recordOf(actor, "client.delete", "success", id, { name: before.name }))
    return true
  })
}

export async function findClient(sql: Sql, id: string): Promise<Client | undefined> {
  const row = await sql.get<Row>(`SELECT ${COLUMNS} FROM clients WHERE id = $1`, [id])
  return row === undefined ? undefined : toClient(row)
}

/** By age. `after`: id of the last one seen. */
export async function listClients(
  sql: Sql,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<readonly Client[]> {
  const text = `SELECT ${COLUMNS} FROM clients WHERE id > $1 ORDER BY id LIMIT $2`
  return (await sql.all<Row>(text, [after ?? "", limit])).map(toClient)
}

/** Revokes the tokens and begins a new series of them; resolves with the client as it was. Locks it. */
async function endTokens(context: IdentityContext, sql: Sql, id: string): Promise<Client | undefined> {
  // Locks the row, so that of two changes the second one sees the series the first has begun.
  await sql.run("UPDATE clients SET status = status WHERE id = $1", [id])
  const before = await findClient(sql, id)
  if (before === undefined) return undefined
  // Rises also when two changes fall into one millisecond, or the clock is set back.
  const updatedAt = Math.max(context.wallClock(), before.updatedAt + 1)
  await sql.run("UPDATE clients SET updated_at = $2 WHERE id = $1", [id, updatedAt])
  await context.revoke(sql, [
    {
      kind: "session",
      subject: sessionOfClient(id, before.updatedAt),
      expiresAt: accessEndsBy(context),
    },
  ])
  return before
}

function toClient(row: Row): Client {
  return {
    id: row.id,
    name: row.name,
    roles: JSON.parse(row.roles) as string[],
    scopes: JSON.parse(row.scopes) as string[],
    status: row.status,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
