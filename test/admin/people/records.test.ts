import { afterEach, expect, test } from "bun:test"
import { appendAudit } from "../../../src/safety/audit.ts"
import { listAudit, MAX_LOOKED_AT } from "../../../src/safety/list_audit.ts"
import { appendEvent } from "../../../src/store/events.ts"
import { adminOf, openPeople } from "../../support/people.ts"
import { closeStores } from "../../support/store.ts"
import { STORES } from "../../support/store_urls.ts"

afterEach(closeStores)

const DAY = Date.UTC(2026, 0, 1)
const RECORD = {
  action: "session.start",
  outcome: "success",
  actor: "ann",
  subject: "s",
  client: "192.0.2.1",
  requestId: "r",
  details: { method: "password" },
} as const
const NO_FILTER = {
  action: undefined,
  actor: undefined,
  subject: undefined,
  outcome: undefined,
  from: undefined,
  to: undefined,
}

for (const [name, url] of STORES)
  test(`[C-11.3, C-11.10] the record on ${name} is filtered by who, what, to what and when`, async () => {
    const { admin, store } = await openPeople({ url: await url() })
    for (let i = 0; i < 6; i++)
      await appendAudit(store, { ...RECORD, subject: `s${i}`, actor: i % 2 ? "ann" : "bob" }, DAY + i * 1000)
    await appendAudit(store, { ...RECORD, action: "account.login", outcome: "failure" }, DAY + 6000)
    const subjects = async (query: string) =>
      (await admin("GET", `/audit${query}`)).body.records.map(({ subject }: { subject: string }) => subject)
    expect(await subjects("")).toEqual(["s", "s5", "s4", "s3", "s2", "s1", "s0"])
    expect(await subjects("?actor=bob")).toEqual(["s4", "s2", "s0"])
    expect(await subjects("?action=account.login")).toEqual(["s"])
    expect(await subjects("?outcome=failure")).toEqual(["s"])
    expect(await subjects("?subject=s3&actor=ann")).toEqual(["s3"])
    expect(await subjects("?from=2026-01-01T00:00:02Z&to=2026-01-01T00:00:04Z")).toEqual(["s3", "s2"])
    expect(await subjects("?from=2026-01-01T02:00:05%2B02:00")).toEqual(["s", "s5"])
    const first = (await admin("GET", "/audit?limit=4")).body
    expect(first.records[0]).toMatchObject({ at: "2026-01-01T00:00:06.000Z", details: RECORD.details })
    expect(await subjects(`?limit=4&cursor=${first.next_cursor}`)).toEqual(["s2", "s1", "s0"])
  })

test("[C-11.10] a rare record is found, however many others there are, by bounded steps", async () => {
  const { store } = await openPeople()
  await store.transaction(async (sql) => {
    await appendAudit(sql, { ...RECORD, action: "rare" }, DAY)
    for (let i = 1; i <= MAX_LOOKED_AT; i++) await appendAudit(sql, RECORD, DAY + i)
  })
  const filter = { ...NO_FILTER, action: "rare" }
  const first = await listAudit(store, filter, { before: undefined, limit: 50 })
  expect([first.records.length, first.next]).toEqual([0, expect.any(String)])
  const second = await listAudit(store, filter, { before: first.next, limit: 50 })
  expect([second.records.length, second.next]).toEqual([1, undefined])
})

test.each([
  "?limit=0",
  "?limit=201",
  "?limit=-1",
  "?limit=1e2",
  "?limit=5&limit=6",
  "?cursor=1",
  "?cursor=%27%20OR%201=1--",
  "?from=yesterday",
  "?from=2026-13-01T00:00:00Z",
  "?outcome=perhaps",
  "?details=x",
  `?actor=${"x".repeat(513)}`,
  "?__proto__=x",
])("[F-63] the query %p is refused", async (query) => {
  const { admin } = await openPeople()
  const refused = await admin("GET", `/audit${query}`)
  expect([refused.status, refused.body.error.code]).toEqual([422, "VALIDATION_FAILED"])
})

test("[F-63] a cursor of another list is a place in this one, and opens nothing else", async () => {
  const { admin, addUser } = await openPeople()
  const ann = await addUser("ann@example.com")
  const key = (await admin("POST", "/api-keys", { name: "k", owner: "billing" })).body
  const answers = await Promise.all([
    admin("GET", `/api-keys?cursor=${ann.id}`),
    admin("GET", `/users?cursor=${key.id}`),
    admin("GET", `/clients?cursor=${key.id}`),
  ])
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
  for (const { text } of answers.slice(1)) expect(text).not.toContain(key.prefix)
})

test("[V-auth.8] mail that is not sent is read by operators, with its token, until it is acknowledged", async () => {
  const { admin, addUser, ask, deliver } = await openPeople()
  const ann = await addUser("ann@example.com")
  await ask("POST", "/auth/password/forgot", { body: { email: "ann@example.com" } })
  expect((await admin("GET", "/events")).body.events).toEqual([])
  await deliver()
  const { events } = (await admin("GET", "/events")).body
  expect(events).toMatchObject([
    { type: "auth.password_reset_requested", payload: { user_id: ann.id, email: "ann@example.com" } },
  ])
  expect(events[0].payload.token).toBeString()
  expect((await admin("GET", "/audit")).text).not.toContain(events[0].payload.token)
  expect((await admin("GET", "/audit?action=event.read")).body.records).toHaveLength(1)
  expect((await admin("DELETE", `/events/${events[0].id}`)).status).toBe(200)
  expect((await admin("DELETE", `/events/${events[0].id}`)).status).toBe(404)
  expect((await admin("GET", "/events")).body.events).toEqual([])
})

test("[C-6.6 T-5.5] events of all kinds are listed by age, in pages, and by what their kind begins with", async () => {
  const { admin, store } = await openPeople()
  const at = Date.now()
  const types = [
    "quota.warning",
    "abuse.blocked",
    "auth.password_changed",
    "quota.warning",
    "abuse.unblocked",
  ]
  for (const [i, type] of types.entries()) await appendEvent(store, type, { i }, at + i, at + 60_000)
  await appendEvent(store, "mail.registration", { i: 9 }, at + 9, at + 60_000)
  await appendEvent(store, "quota.warning", { i: 10 }, at + 10, 1)
  const seen = async (query: string) =>
    (await admin("GET", `/events${query}`)).body.events.map(
      (each: { payload: { i: number } }) => each.payload.i,
    )
  expect(await seen("?kind=quota.")).toEqual([0, 3])
  expect(await seen("?kind=abuse.")).toEqual([1, 4])
  expect(await seen("?kind=abuse.blocked")).toEqual([1])
  expect(await seen("?kind=mail.")).toEqual([])
  // Only secrets that were shown are put on record.
  expect((await admin("GET", "/audit?action=event.read")).body.records).toEqual([])
  expect(await seen("")).toEqual([0, 1, 2, 3, 4])
  expect((await admin("GET", "/audit?action=event.read")).body.records).toHaveLength(1)
  const first = (await admin("GET", "/events?kind=quota.&limit=1")).body
  expect(await seen(`?kind=quota.&limit=1&cursor=${first.next_cursor}`)).toEqual([3])
  expect((await admin("DELETE", `/events/${first.events[0].id}`)).status).toBe(200)
  expect(await seen("?kind=quota.")).toEqual([3])
})

test.each(["?kind=", "?kind=%25", "?kind=Quota", "?kind=a'--", `?kind=${"x".repeat(65)}`, "?kind=a&kind=b"])(
  "[F-63] the kind in %p is refused",
  async (query) => {
    const { admin } = await openPeople()
    expect((await admin("GET", `/events${query}`)).status).toBe(422)
  },
)

test("[F-63] mail on its way is neither shown nor taken away", async () => {
  const { admin, addUser, ask, store } = await openPeople()
  await addUser("ann@example.com")
  await ask("POST", "/auth/password/forgot", { body: { email: "ann@example.com" } })
  const [row] = await store.all<{ id: string }>("SELECT id FROM events")
  expect((await admin("DELETE", `/events/${row!.id}`)).status).toBe(404)
  expect(await store.all("SELECT id FROM events")).toHaveLength(1)
})

const EVERYTHING = [
  ["GET", "/api-keys"],
  ["POST", "/api-keys"],
  ["GET", "/api-keys/1"],
  ["POST", "/api-keys/1/rotate"],
  ["DELETE", "/api-keys/1"],
  ["GET", "/clients"],
  ["POST", "/clients"],
  ["PATCH", "/clients/1"],
  ["DELETE", "/clients/1"],
  ["GET", "/users"],
  ["POST", "/users"],
  ["PATCH", "/users/1"],
  ["DELETE", "/users/1"],
  ["GET", "/users/1/sessions"],
  ["DELETE", "/users/1/sessions"],
  ["GET", "/audit"],
  ["GET", "/events"],
  ["DELETE", "/events/1"],
] as const

test("[F-63] nothing answers without the token, nor to the token in a cookie, a form or the query", async () => {
  const { admin } = await openPeople()
  const token = "a-token-for-tests-only"
  const form = "application/x-www-form-urlencoded"
  for (const [method, path] of EVERYTHING) {
    const body = method === "GET" ? undefined : `name=x&owner=x&token=${token}`
    for (const headers of [
      {},
      { authorization: "Bearer wrong" },
      { authorization: `Basic ${btoa(`admin:${token}`)}` },
      { cookie: `token=${token}`, "content-type": form, origin: "https://evil.example" },
      { "x-api-key": token },
    ]) {
      const refused = await admin(method, `${path}?token=${token}`, body, { headers })
      expect([method, path, refused.status]).toEqual([method, path, 401])
    }
  }
})

test("[C-11.1] without a store everything is 409, and says what to set", async () => {
  const admin = adminOf(undefined, { auth: { secret: "x".repeat(32) } })
  for (const [method, path] of EVERYTHING) {
    const refused = await admin(method, path, method === "GET" ? undefined : {})
    expect([method, path, refused.status, refused.body.error.code]).toEqual([method, path, 409, "NO_STORE"])
    expect(refused.body.error.message).toContain("`store`")
  }
})

test("[C-11.1] without a section auth everything is 409, and says what to set", async () => {
  const { context } = await openPeople()
  const admin = adminOf(context, { store: "sqlite::memory:" })
  for (const [method, path] of EVERYTHING) {
    const refused = await admin(method, path, method === "GET" ? undefined : {})
    expect([method, path, refused.status, refused.body.error.code]).toEqual([method, path, 409, "NO_AUTH"])
  }
})

test("[F-45] a store that is away is 503, and a later call may succeed", async () => {
  const { admin, store } = await openPeople()
  await store.close()
  const refused = await admin("GET", "/users")
  expect([refused.status, refused.body.error.code]).toEqual([503, "STORE_UNAVAILABLE"])
  expect(refused.headers.get("retry-after")).toBe("5")
})
