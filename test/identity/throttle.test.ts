import { afterEach, describe, expect, test } from "bun:test"
import type { Attempt } from "../../src/identity/throttle.ts"
import { openAccounts } from "../support/accounts.ts"
import { sharedPostgres } from "../support/postgres.ts"
import { closeStores } from "../support/store.ts"

afterEach(closeStores)

const auth = { lockout: { free_attempts: 3, attempts: 6, ip_attempts: 8, duration: "15m" } }

const seconds = (attempt: Attempt) => (attempt.kind === "blocked" ? attempt.retryAfterS : 0)
const isPermitted = (attempt: Attempt) => attempt.kind === "permitted"

for (const database of ["sqlite", "postgres"] as const) {
  const openWorld = async () =>
    openAccounts({
      auth,
      url: database === "sqlite" ? "sqlite::memory:" : await (await sharedPostgres()).createDatabase(),
    })

  describe(`throttle in ${database}`, () => {
    test("[V-auth.1] after the free attempts the delay doubles from one second, until the account is locked", async () => {
      const { accounts, pass } = await openWorld()
      const waits: number[] = []
      for (let i = 0; i < 6; i++) {
        expect(isPermitted(await accounts.throttle.attempt("login", "ann", `192.0.2.${i}`))).toBe(true)
        const next = await accounts.throttle.attempt("login", "ann", "192.0.2.99")
        if (next.kind === "permitted") await next.release()
        waits.push(seconds(next))
        pass(seconds(next) * 1000)
      }
      expect(waits).toEqual([0, 0, 0, 1, 2, 900])
      expect(isPermitted(await accounts.throttle.attempt("login", "ann", "192.0.2.1"))).toBe(true)
    })

    test("[V-auth.1] of twenty guesses at once no more get through than one after the other", async () => {
      const { accounts } = await openWorld()
      const all = await Promise.all(
        Array.from({ length: 20 }, (_, i) => accounts.throttle.attempt("login", "ann", `192.0.2.${i}`)),
      )
      expect(all.filter(isPermitted)).toHaveLength(4)
    })

    test("a success forgets the failures of the account, not those of the address", async () => {
      const { accounts } = await openWorld()
      const { throttle } = accounts
      for (let i = 0; i < 7; i++) await throttle.attempt("login", `user${i}`, "192.0.2.1")
      const right = await throttle.attempt("login", "user0", "192.0.2.1")
      if (right.kind === "permitted") await right.succeeded()
      for (let i = 0; i < 3; i++)
        expect(isPermitted(await throttle.attempt("login", "user0", `192.0.2.${i + 2}`))).toBe(true)
      expect(isPermitted(await throttle.attempt("login", "user8", "192.0.2.1"))).toBe(true)
      expect(await throttle.attempt("login", "user9", "192.0.2.1")).toEqual({
        kind: "blocked",
        by: "address",
        retryAfterS: 900,
      })
    })

    test("addresses of one IPv6 /64 count as one, others as others", async () => {
      const { accounts } = await openWorld()
      for (let i = 0; i < 8; i++) await accounts.throttle.attempt("login", `user${i}`, `2001:db8::${i}`)
      expect(isPermitted(await accounts.throttle.attempt("login", "a", "2001:db8::ffff"))).toBe(false)
      expect(isPermitted(await accounts.throttle.attempt("login", "a", "2001:db8:0:1::1"))).toBe(true)
    })

    test("attempts that did not take place leave no trace", async () => {
      const { accounts } = await openWorld()
      for (let i = 0; i < 20; i++) {
        const attempt = await accounts.throttle.attempt("login", "ann", "192.0.2.1")
        expect(attempt.kind).toBe("permitted")
        if (attempt.kind === "permitted") await attempt.release()
      }
    })

    test("failures older than the lock are forgotten", async () => {
      const { accounts, pass } = await openWorld()
      for (let i = 0; i < 3; i++) await accounts.throttle.attempt("login", "ann", "192.0.2.1")
      pass(900_000)
      for (let i = 0; i < 3; i++)
        expect(isPermitted(await accounts.throttle.attempt("login", "ann", "192.0.2.1"))).toBe(true)
    })
  })
}

test("each act counts for itself, and forgiving lifts a lock", async () => {
  const { accounts } = await openAccounts({ auth })
  const { throttle } = accounts
  for (let i = 0; i < 4; i++) await throttle.attempt("login", "ann", "192.0.2.1")
  expect(isPermitted(await throttle.attempt("client", "ann", "192.0.2.1"))).toBe(true)
  expect(isPermitted(await throttle.attempt("login", "ann", "192.0.2.1"))).toBe(false)
  await throttle.forgive("login", "ann")
  expect(isPermitted(await throttle.attempt("login", "ann", "192.0.2.1"))).toBe(true)
})

test("the table holds no login and no address", async () => {
  const { accounts, store } = await openAccounts({ auth })
  await accounts.throttle.attempt("login", "ann@example.com", "192.0.2.1")
  const rows = await store.all<{ subject: string }>("SELECT subject FROM login_failures")
  expect(rows.map(({ subject }) => /^[0-9a-f]{64}$/.test(subject))).toEqual([true, true])
})
