import { afterEach, expect, test } from "bun:test"
import { closeVms, openVm } from "../../support/identity_vm.ts"
import { adminOf, openPeople } from "../../support/people.ts"
import { closeStores } from "../../support/store.ts"
import { STORES } from "../../support/store_urls.ts"

afterEach(async () => {
  closeVms()
  await closeStores()
})

/** A VM with a client, its admin API, and what its worker takes a token for. */
async function openClient(url = "sqlite::memory:") {
  const vm = await openVm(url)
  const admin = adminOf(vm.control.context, { store: "sqlite::memory:", auth: { secret: "x".repeat(32) } })
  const made = (await admin("POST", "/clients", { name: "Billing", scopes: ["read", "write"] })).body
  const token = (secret: string, id: string = made.id) =>
    vm.ask("POST", "/auth/token", { basic: [id, secret], form: { grant_type: "client_credentials" } })
  return { vm, admin, made, token }
}

test("[C-2.8, T-7.2] a client made by an operator signs in with id and secret", async () => {
  const { vm, made, token } = await openClient()
  expect(made).toMatchObject({ name: "Billing", status: "active", roles: [], scopes: ["read", "write"] })
  const { body } = await token(made.secret)
  expect(body).toMatchObject({ token_type: "Bearer", scope: "read write" })
  expect(await vm.caller({ bearer: body.access_token })).toBe(made.id)
})

test("[C-2.8] its secret is shown once and kept as a hash", async () => {
  const { vm, admin, made } = await openClient()
  const rows = JSON.stringify(await vm.store.all("SELECT * FROM clients"))
  const shown = [await admin("GET", "/clients"), await admin("GET", `/clients/${made.id}`)]
  for (const text of [rows, ...shown.map((each) => each.text), (await admin("GET", "/audit")).text])
    expect(text).not.toContain(made.secret)
  expect(shown.map(({ status }) => status)).toEqual([200, 200])
  expect(shown[1]!.body).not.toHaveProperty("secret_hash")
})

test.each([
  ["disabled", "PATCH", "", { status: "disabled" }],
  ["deleted", "DELETE", "", undefined],
  ["given a new secret", "POST", "/rotate", undefined],
  ["given other scopes", "PATCH", "", { scopes: ["read"] }],
] as const)(
  "[F-54] the tokens of a client that is %s end on the workers",
  async (_how, method, path, body) => {
    const { vm, admin, made, token } = await openClient()
    const before = (await token(made.secret)).body.access_token
    expect(await vm.caller({ bearer: before })).toBe(made.id)
    expect((await admin(method, `/clients/${made.id}${path}`, body)).status).toBeLessThan(300)
    expect(await vm.caller({ bearer: before })).toBe("")
  },
)

for (const [name, url] of STORES)
  test(`[F-54] after a rotation on ${name} only the new secret is right, and its tokens hold`, async () => {
    const { vm, admin, made, token } = await openClient(await url())
    const { body } = await admin("POST", `/clients/${made.id}/rotate`)
    expect(body.secret).not.toBe(made.secret)
    expect((await token(made.secret)).status).toBe(401)
    expect(await vm.caller({ bearer: (await token(body.secret)).body.access_token })).toBe(made.id)
  })

test("[F-54] a client that is disabled and enabled again signs in at once", async () => {
  const { vm, admin, made, token } = await openClient()
  await admin("PATCH", `/clients/${made.id}`, { status: "disabled" })
  expect((await token(made.secret)).status).toBe(401)
  await admin("PATCH", `/clients/${made.id}`, { status: "active" })
  expect(await vm.caller({ bearer: (await token(made.secret)).body.access_token })).toBe(made.id)
})

test("[F-54] a service that logs out ends the token it showed", async () => {
  const { vm, made, token } = await openClient()
  const { access_token } = (await token(made.secret)).body
  expect((await vm.ask("POST", "/auth/logout", { bearer: access_token })).status).toBeLessThan(300)
  expect(await vm.caller({ bearer: access_token })).toBe("")
  expect(await vm.caller({ bearer: (await token(made.secret)).body.access_token })).toBe(made.id)
})

test("[C-11.3] what was done to a client is on record, also after it is gone", async () => {
  const { admin, made } = await openClient()
  await admin("PATCH", `/clients/${made.id}`, { name: "Invoices" })
  await admin("POST", `/clients/${made.id}/rotate`)
  await admin("DELETE", `/clients/${made.id}`)
  const { records } = (await admin("GET", `/audit?subject=${made.id}`)).body
  expect(records.map((each: { action: string; actor: string }) => `${each.actor} ${each.action}`)).toEqual([
    "admin client.delete",
    "admin client.rotate_secret",
    "admin client.change",
    "admin client.create",
  ])
})

test("[F-63] unknown clients are 404, whatever is asked of them", async () => {
  const { admin } = await openPeople()
  const answers = [
    await admin("GET", "/clients/nobody"),
    await admin("PATCH", "/clients/nobody", { name: "x" }),
    await admin("POST", "/clients/nobody/rotate"),
    await admin("DELETE", "/clients/nobody"),
  ]
  expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404])
})

test.each([
  ["nothing", {}],
  ["an id", { id: "mine" }],
  ["a secret", { secret: "mine" }],
  ["an unknown status", { status: "deleted" }],
  ["an unknown role", { roles: ["root"] }],
  ["a time", { updated_at: 0 }],
])("[F-63] a change of a client to %s is refused", async (_what, change) => {
  const { admin } = await openPeople()
  const { body } = await admin("POST", "/clients", { name: "Billing" })
  expect((await admin("PATCH", `/clients/${body.id}`, change)).status).toBe(422)
})
