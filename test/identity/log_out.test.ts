import { afterEach, beforeAll, expect, test } from "bun:test"
import { logOut } from "../../src/identity/log_out.ts"
import { closeVms, openVm } from "../support/identity_vm.ts"
import { makePrincipal } from "../support/principal.ts"
import { closeStores } from "../support/store.ts"
import { STORES } from "../support/store_urls.ts"

afterEach(async () => {
  closeVms()
  await closeStores()
})
// Starting a server takes longer than a test may.
beforeAll(async () => {
  for (const [, url] of STORES) await url()
}, 30_000)

const by = { actor: "ann", client: "192.0.2.1", requestId: "r1" }

for (const [name, url] of STORES)
  test(`[F-54] on ${name}: tokens of another issuer are revoked until they expire, 100 of a subject at a time`, async () => {
    const vm = await openVm(await url())
    const context = vm.control.context!
    const at = context.wallClock()
    const years = at + 10 * 365 * 86_400_000
    const end = (subject: string, i: number, expiresAt: number) => {
      const issuer = "https://issuer.example/"
      const principal = makePrincipal({ issuer, tokenId: `${subject}.${i}`, expiresAt })
      return logOut(context, principal, "", by)
    }
    expect(await end("ann", 0, at + 60_000)).toEqual({ kind: "done" })
    for (let i = 1; i < 100; i++) expect((await end("ann", i, years)).kind).toBe("done")
    expect(await end("ann", 100, years)).toEqual({ kind: "too_many", retryAfterS: 60 })
    expect((await end("bob", 0, years)).kind).toBe("done")
    vm.pass(60_000)
    expect((await end("ann", 100, years)).kind).toBe("done")
    const kept = await vm.store.all("SELECT subject FROM revocations WHERE expires_at = $1", [years])
    expect(kept).toHaveLength(101)
  })

test("[F-54] tokens of the gateway's own are revoked without such a bound", async () => {
  const context = (await openVm("sqlite::memory:")).control.context!
  const expiresAt = context.wallClock() + 60_000
  for (let i = 0; i < 101; i++) {
    const principal = makePrincipal({
      kind: "service",
      issuer: context.settings().issuer,
      tokenId: `t${i}`,
      expiresAt,
    })
    expect((await logOut(context, principal, "", by)).kind).toBe("done")
  }
})
