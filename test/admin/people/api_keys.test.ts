import { afterEach, expect, test } from "bun:test"
import { isApiKey } from "../../../src/identity/api_key_format.ts"
import { holderOfApiKey } from "../../../src/identity/api_key_holder.ts"
import { hashOfToken } from "../../../src/identity/opaque_token.ts"
import { OPERATOR } from "../../support/admin.ts"
import { openPeople } from "../../support/people.ts"
import { closeStores } from "../../support/store.ts"
import { STORES } from "../../support/store_urls.ts"

afterEach(closeStores)

const NEW = { name: "Nightly export", owner: "billing", roles: ["user"], scopes: ["read"] }
const MINUTE = 60_000
const HOUR = 60 * MINUTE

type World = Awaited<ReturnType<typeof openPeople>>

async function make(world: World, more: object = {}) {
  const made = await world.admin("POST", "/api-keys", { ...NEW, ...more })
  expect([made.status, made.text]).toEqual([201, expect.any(String)])
  return made.body
}

const holder = ({ context }: World, key: string) => holderOfApiKey(context, hashOfToken(key))

for (const [name, url] of STORES)
  test(`[C-2.8, V-rl.4] a key on ${name} is shown once, kept as a hash, and tells whose it is`, async () => {
    const world = await openPeople({ url: await url() })
    const made = await make(world, { tier: "premium", allowed_ips: ["10.0.0.0/8", "2001:db8::1"] })
    expect(isApiKey(made.key)).toBe(true)
    expect(made).toMatchObject({ owner: "billing", prefix: made.key.slice(0, 12), status: "active" })
    const [row] = await world.store.all<{ key_hash: string }>("SELECT * FROM api_keys")
    expect(row!.key_hash).toBe(hashOfToken(made.key))
    expect(JSON.stringify(row)).not.toContain(made.key.slice(12))
    const found = await holder(world, made.key)
    expect(found).toMatchObject({
      allowedIps: ["10.0.0.0/8", "2001:db8::1"],
      principal: { id: "billing", kind: "service", method: "api_key", tier: "premium", tokenId: made.id },
    })
    const shown = await world.admin("GET", `/api-keys/${made.id}`)
    expect([shown.status, shown.body.key]).toEqual([200, undefined])
    for (const path of ["/api-keys", "/audit"])
      expect((await world.admin("GET", path)).text).not.toContain(made.key.slice(12))
  })

for (const [name, url] of STORES)
  test(`[C-2.8] rotation on ${name}: both keys hold during the overlap, then only the new one`, async () => {
    const world = await openPeople({ url: await url() })
    const old = await make(world)
    const { body } = await world.admin("POST", `/api-keys/${old.id}/rotate`, { overlap_seconds: 3600 })
    expect(body).toMatchObject({ replaces: old.id, owner: "billing", expires_at: null })
    expect(body.key).not.toBe(old.key)
    world.pass(HOUR - 1)
    expect([(await holder(world, old.key)).kind, (await holder(world, body.key)).kind]).toEqual([
      "principal",
      "principal",
    ])
    world.pass(1)
    expect([(await holder(world, old.key)).kind, (await holder(world, body.key)).kind]).toEqual([
      "unknown",
      "principal",
    ])
    await world.admin("DELETE", `/api-keys/${body.id}`)
    expect((await holder(world, body.key)).kind).toBe("unknown")
  })

test("[C-2.8] rotation without a word gives a day, and never more than the old key had", async () => {
  const world = await openPeople()
  const old = await make(world)
  const first = await world.admin("POST", `/api-keys/${old.id}/rotate`)
  const at = world.context.wallClock()
  expect(first.body.replaced.expires_at).toBe(new Date(at + 24 * HOUR).toISOString())
  const again = await world.admin("POST", `/api-keys/${old.id}/rotate`, { overlap_seconds: 30 * 86_400 })
  expect(again.body.replaced.expires_at).toBe(first.body.replaced.expires_at)
})

test("[C-2.8] a key that was made for a month is replaced by one for a month", async () => {
  const world = await openPeople()
  const at = world.context.wallClock()
  const old = await make(world, { expires_at: new Date(at + 720 * HOUR).toISOString() })
  world.pass(700 * HOUR)
  const { body } = await world.admin("POST", `/api-keys/${old.id}/rotate`)
  expect(body.expires_at).toBe(new Date(at + 1420 * HOUR).toISOString())
})

test("[F-54] rotation without overlap revokes the old key at once", async () => {
  const world = await openPeople()
  const old = await make(world)
  const { body } = await world.admin("POST", `/api-keys/${old.id}/rotate`, { overlap_seconds: 0 })
  expect(body.replaced.status).toBe("revoked")
  expect((await holder(world, old.key)).kind).toBe("unknown")
  expect(world.revoked).toMatchObject([{ kind: "api_key", subject: old.id }])
})

test.each([-1, 1, 59, 30 * 86_400 + 1, 90.5, "3600", null])(
  "[C-2.8] an overlap of %p seconds is refused",
  async (overlap_seconds) => {
    const world = await openPeople()
    const { id } = await make(world)
    expect((await world.admin("POST", `/api-keys/${id}/rotate`, { overlap_seconds })).status).toBe(422)
  },
)

test("[C-2.8] a key that is no longer active is not rotated", async () => {
  const world = await openPeople()
  const { id } = await make(world)
  await world.admin("DELETE", `/api-keys/${id}`)
  const refused = await world.admin("POST", `/api-keys/${id}/rotate`)
  expect([refused.status, refused.body.error.code]).toEqual([409, "NOT_ACTIVE"])
})

test("[F-54] a revoked key is unknown from then on; revoking it again changes nothing", async () => {
  const world = await openPeople()
  const { id, key } = await make(world)
  const first = await world.admin("DELETE", `/api-keys/${id}`)
  expect([first.status, first.body.status]).toEqual([200, "revoked"])
  expect(world.revoked).toMatchObject([{ kind: "api_key", subject: id }])
  expect((await holder(world, key)).kind).toBe("unknown")
  world.pass(1000)
  expect((await world.admin("DELETE", `/api-keys/${id}`)).body).toEqual(first.body)
  expect((await world.audits()).filter(({ action }) => action === "api_key.revoke")).toHaveLength(1)
})

test("[F-59] unknown, expired and revoked keys and those of disabled accounts are answered alike", async () => {
  const world = await openPeople()
  const ann = await world.addUser("ann@example.com")
  const expiring = await make(world, {
    expires_at: new Date(world.context.wallClock() + MINUTE).toISOString(),
  })
  const revoked = await make(world)
  const owned = await make(world, { owner: ann.id })
  await world.admin("DELETE", `/api-keys/${revoked.id}`)
  await world.admin("PATCH", `/users/${ann.id}`, { status: "disabled" })
  world.pass(MINUTE)
  const keys = [expiring.key, revoked.key, owned.key, "gh_live_unknown"]
  const answers = await Promise.all(keys.map((key) => holder(world, key)))
  expect(answers).toEqual(keys.map(() => ({ kind: "unknown" })))
})

test("[F-54] a disabled account's keys are refused within a second, and hold again when it is enabled", async () => {
  const world = await openPeople()
  const ann = await world.addUser("ann@example.com", { ageLimit: 12, blockedContent: ["violence"] })
  const { id, key } = await make(world, { owner: ann.id })
  expect(await holder(world, key)).toMatchObject({
    principal: { id: ann.id, kind: "user", ageLimit: 12, blockedContent: ["violence"] },
  })
  await world.admin("PATCH", `/users/${ann.id}`, { status: "disabled" })
  expect(world.revoked).toContainEqual({
    kind: "api_key",
    subject: id,
    expiresAt: world.context.wallClock() + 2 * MINUTE,
  })
  await world.admin("PATCH", `/users/${ann.id}`, { status: "active" })
  expect((await holder(world, key)).kind).toBe("principal")
})

test("[F-54] a deleted account's keys are revoked", async () => {
  const world = await openPeople()
  const ann = await world.addUser("ann@example.com")
  const { id } = await make(world, { owner: ann.id })
  await world.admin("DELETE", `/users/${ann.id}`)
  expect((await world.admin("GET", `/api-keys/${id}`)).body.status).toBe("revoked")
  const late = await world.admin("POST", "/api-keys", { ...NEW, owner: ann.id })
  expect(late.body.error.details.errors[0].field).toBe("/owner")
})

test("[C-2.8] the last use is written at most once a minute", async () => {
  const world = await openPeople()
  const { id, key } = await make(world)
  const lastUse = async () => (await world.admin("GET", `/api-keys/${id}`)).body.last_used_at
  expect(await lastUse()).toBeNull()
  await holder(world, key)
  const first = await lastUse()
  expect(first).toBe(new Date(world.context.wallClock()).toISOString())
  world.pass(MINUTE - 1)
  await holder(world, key)
  expect(await lastUse()).toBe(first)
  world.pass(1)
  await holder(world, key)
  expect(await lastUse()).not.toBe(first)
})

test("[F-44] a store that takes no writes still says whose a key is", async () => {
  const world = await openPeople()
  const { key } = await make(world)
  await world.store.run(
    "CREATE TRIGGER stuck BEFORE UPDATE ON api_keys BEGIN SELECT RAISE(ABORT, 'stuck'); END",
  )
  expect((await holder(world, key)).kind).toBe("principal")
})

test("[C-11.3, C-2.6] each act is put on record with who, from where and by which request", async () => {
  const world = await openPeople()
  const made = await world.admin("POST", "/api-keys", NEW)
  const { id } = made.body
  await world.admin("POST", `/api-keys/${id}/rotate`)
  await world.admin("DELETE", `/api-keys/${id}`)
  const { body } = await world.admin("GET", "/audit")
  expect(body.records.map((each: { action: string }) => each.action)).toEqual([
    "api_key.revoke",
    "api_key.rotate",
    "api_key.create",
  ])
  expect(body.records[2]).toMatchObject({
    actor: "admin",
    subject: id,
    client: OPERATOR,
    request_id: made.headers.get("x-request-id"),
    details: { name: NEW.name, owner: "billing" },
  })
  expect(world.counts.get("api_key success")).toBe(3)
})

test("[C-2.8] a list of 450 keys is read in pages, each key once, also while new ones come", async () => {
  const world = await openPeople()
  for (let i = 0; i < 450; i++) await make(world, { owner: `o${i % 2}` })
  const seen = new Set<string>()
  let cursor = ""
  for (let pages = 0; ; pages++) {
    const { body } = await world.admin("GET", `/api-keys?limit=200${cursor}`)
    for (const { id } of body.api_keys) seen.add(id)
    if (pages === 0) await make(world)
    if (body.next_cursor === null) break
    cursor = `&cursor=${body.next_cursor}`
  }
  expect(seen.size).toBe(451)
  expect((await world.admin("GET", "/api-keys?owner=o1&limit=200")).body.api_keys).toHaveLength(200)
})

test.each([
  ["an empty name", { name: " " }],
  ["a long name", { name: "x".repeat(101) }],
  ["a name with a line break", { name: "a\nb" }],
  ["a name that turns the text around", { name: "a‮b" }],
  ["an owner that ends a header", { owner: "a\r\nx: 1" }],
  ["no owner", { owner: "" }],
  ["an unknown role", { roles: ["root"] }],
  ["a role of every object", { roles: ["constructor"] }],
  ["an unknown scope", { scopes: ["everything"] }],
  ["an unknown tier", { tier: "gold" }],
  ["roles as a text", { roles: "admin" }],
  ["too many scopes", { scopes: Array.from({ length: 65 }, (_, i) => `s${i}`) }],
  ["no address", { allowed_ips: ["example.com"] }],
  ["a range too long", { allowed_ips: ["10.0.0.0/33"] }],
  ["an address with a zone", { allowed_ips: ["fe80::1%eth0"] }],
  ["a time in the past", { expires_at: "2020-01-01T00:00:00Z" }],
  ["no such day", { expires_at: "2030-02-31T25:00:00Z" }],
  ["a time without zone", { expires_at: "2030-01-01T00:00:00" }],
  ["a time as a number", { expires_at: 1_900_000_000 }],
  ["a key of one's own", { key: "gh_live_mine" }],
  ["a hash of one's own", { key_hash: "0".repeat(64) }],
  ["an id of one's own", { id: "1" }],
])("[F-63] a key with %s is refused, and nothing is made", async (_what, change) => {
  const world = await openPeople()
  const refused = await world.admin("POST", "/api-keys", { ...NEW, ...change })
  expect([refused.status, refused.body.error.code]).toEqual([422, "VALIDATION_FAILED"])
  const [field] = Object.keys(change)
  expect(JSON.stringify(refused.body.error.details)).toContain(field!)
  expect((await world.admin("GET", "/api-keys")).body.api_keys).toEqual([])
})

for (const [name, url] of STORES)
  test(`[F-54] on ${name}: a key of an account gives no role or scope the account does not have any more`, async () => {
    const world = await openPeople({ url: await url() })
    const { id: owner } = await world.addUser("ann@example.com", { roles: ["admin"] })
    const made = await make(world, { owner, roles: ["admin", "user"], scopes: ["read", "admin"] })
    const service = await make(world, { roles: ["admin"], scopes: ["admin"] })
    const rights = async (key: string) => {
      const found = await holder(world, key)
      return found.kind === "principal" && [found.principal.roles, found.principal.scopes]
    }
    expect(await rights(made.key)).toEqual([["admin"], ["read", "admin"]])
    await world.admin("PATCH", `/users/${owner}`, { roles: ["user"] })
    expect(await rights(made.key)).toEqual([["user"], ["read"]])
    await world.admin("PATCH", `/users/${owner}`, { roles: [] })
    expect(await rights(made.key)).toEqual([[], []])
    expect(await rights(service.key)).toEqual([["admin"], ["admin"]])
  })

for (const [name, url] of STORES)
  test(`[F-63] on ${name}: an id with a control character is of nothing there is`, async () => {
    const world = await openPeople({ url: await url() })
    for (const id of ["%00", "a%00b", "%0a", "%7f", "%c2%85"])
      for (const [method, path] of [
        ["GET", `/users/${id}`],
        ["PATCH", `/users/${id}`],
        ["DELETE", `/users/${id}`],
        ["GET", `/users/${id}/sessions`],
        ["DELETE", `/users/x/sessions/${id}`],
        ["GET", `/api-keys/${id}`],
        ["POST", `/api-keys/${id}/rotate`],
        ["DELETE", `/api-keys/${id}`],
        ["GET", `/clients/${id}`],
        ["DELETE", `/clients/${id}`],
      ] as const) {
        const body = method === "PATCH" ? { display_name: "Ann" } : undefined
        expect([path, (await world.admin(method, path, body)).status]).toEqual([path, 404])
      }
  })
