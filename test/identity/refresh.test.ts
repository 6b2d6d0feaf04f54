import { afterEach, beforeAll, describe, expect, test } from "bun:test"
import { closeVms, type IdentityVm, openVm, type Sent } from "../support/identity_vm.ts"
import { closeStores } from "../support/store.ts"
import { STORES } from "../support/store_urls.ts"

afterEach(async () => {
  closeVms()
  await closeStores()
})

const MINUTE = 60_000

for (const [name, newUrl] of STORES)
  describe(`refresh tokens in ${name}`, () => {
    // Starting a server takes longer than a test may.
    beforeAll(async () => void (await newUrl()), 30_000)

    async function signedIn(auth: object = {}) {
      const vm = await openVm(await newUrl(), auth)
      const userId = await vm.addUser("ann@example.com")
      return { vm, userId, ...(await vm.logIn("ann@example.com")) }
    }

    test("[T-4.3 C-2.2] each use gives a new refresh token and an access token that works", async () => {
      const { vm, userId, refresh_token } = await signedIn()
      const first = await vm.refresh(refresh_token)
      expect(first.status).toBe(200)
      expect(first.body).toMatchObject({ token_type: "Bearer", expires_in: 900, scope: "read write" })
      expect(await vm.caller({ bearer: first.body.access_token })).toBe(userId)
      vm.pass(MINUTE)
      const second = await vm.refresh(first.body.refresh_token)
      expect(second.status).toBe(200)
      const all = new Set([refresh_token, first.body.refresh_token, second.body.refresh_token])
      expect(all.size).toBe(3)
    })

    test("[V-sec.2] 50 refreshes of one token at once all succeed, with one and the same successor", async () => {
      const { vm, refresh_token } = await signedIn()
      const answers = await Promise.all(Array.from({ length: 50 }, () => vm.refresh(refresh_token)))
      expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200))
      expect(new Set(answers.map(({ body }) => body.refresh_token)).size).toBe(1)
      const access = answers.map(({ body }) => body.access_token as string)
      expect(new Set(access).size).toBe(50)
      const { count } = (await vm.store.get<{ count: number }>(
        "SELECT count(*) AS count FROM refresh_tokens",
      ))!
      expect(count).toBe(2)
      vm.pass(MINUTE)
      expect((await vm.refresh(answers[0]!.body.refresh_token)).status).toBe(200)
    })

    test("[V-sec.2] within the grace the same successor comes again, and also when that was used already", async () => {
      const { vm, refresh_token } = await signedIn({ refresh_grace: "10s" })
      const first = await vm.refresh(refresh_token)
      const next = await vm.refresh(first.body.refresh_token)
      expect(next.status).toBe(200)
      vm.pass(9999)
      const again = await vm.refresh(refresh_token)
      expect(again.body.refresh_token).toBe(first.body.refresh_token)
    })

    test("[T-4.3] no refresh makes a sign-in last longer than refresh_token_max_life", async () => {
      const day = 86_400_000
      const { vm, refresh_token } = await signedIn({ refresh_token_ttl: "5d", refresh_token_max_life: "12d" })
      let token = refresh_token
      for (let days = 4; days <= 8; days += 4) {
        vm.pass(4 * day)
        const { status, body } = await vm.refresh(token)
        expect(status).toBe(200)
        token = body.refresh_token
      }
      vm.pass(4 * day - 1)
      const last = await vm.refresh(token)
      expect(last.status).toBe(200)
      vm.pass(1)
      expect((await vm.refresh(last.body.refresh_token)).status).toBe(401)
      // The week for which an ended sign-in is kept begins then.
      vm.pass(7 * day)
      await vm.sweep()
      await vm.sweep()
      expect(await vm.store.all("SELECT id FROM sessions")).toEqual([])
    })

    test("[F-54 T-4.3] a refresh token used twice ends its family: refresh tokens, access tokens, all of it", async () => {
      const { vm, userId, access_token, refresh_token } = await signedIn({ refresh_grace: "10s" })
      const { body } = await vm.refresh(refresh_token)
      expect(await vm.caller({ bearer: body.access_token })).toBe(userId)
      vm.pass(10_000)
      expect((await vm.refresh(refresh_token)).status).toBe(401)
      expect((await vm.refresh(body.refresh_token)).status).toBe(401)
      expect(await vm.caller({ bearer: access_token })).toBe("")
      expect(await vm.caller({ bearer: body.access_token })).toBe("")
      expect(await vm.audited("token.refresh_reused")).toEqual(["token.refresh_reused failure"])
      expect(await vm.audited("session.end")).toEqual(["session.end success"])
      expect(vm.counted).toContain("refresh_reused failure")
    })

    test("[F-54] a family's end leaves the other sign-ins of the account alone", async () => {
      const { vm, userId, refresh_token } = await signedIn({ refresh_grace: 0 })
      const other = await vm.logIn("ann@example.com")
      await vm.refresh(refresh_token)
      expect((await vm.refresh(refresh_token)).status).toBe(401)
      expect(await vm.caller({ bearer: other.access_token })).toBe(userId)
      expect((await vm.refresh(other.refresh_token)).status).toBe(200)
    })

    test("[F-54] with no grace exactly one of many at once gets tokens, and the family ends", async () => {
      const { vm, refresh_token } = await signedIn({ refresh_grace: 0 })
      const answers = await Promise.all(Array.from({ length: 10 }, () => vm.refresh(refresh_token)))
      const won = answers.filter(({ status }) => status === 200)
      expect(won.length).toBe(1)
      expect((await vm.refresh(won[0]!.body.refresh_token)).status).toBe(401)
    })

    test("[F-54] unknown, expired, ended, reused and of a disabled account: all are refused alike", async () => {
      const texts = new Set<string>()
      const refused = async (vm: IdentityVm, token: string) => {
        const answer = await vm.refresh(token)
        expect(answer.status).toBe(401)
        texts.add(answer.text)
      }
      const expired = await signedIn({ refresh_token_ttl: "1h" })
      await refused(expired.vm, `gh_rt_${"A".repeat(43)}`)
      expired.vm.pass(60 * MINUTE)
      await refused(expired.vm, expired.refresh_token)
      const ended = await signedIn()
      await ended.vm.ask("POST", "/auth/logout", { bearer: ended.access_token })
      await refused(ended.vm, ended.refresh_token)
      const disabled = await signedIn()
      await disabled.vm.store.run("UPDATE users SET status = 'disabled'")
      await refused(disabled.vm, disabled.refresh_token)
      const reused = await signedIn({ refresh_grace: 0 })
      await reused.vm.refresh(reused.refresh_token)
      await refused(reused.vm, reused.refresh_token)
      expect(texts.size).toBe(1)
      expect([...texts][0]).toContain("AUTH_ERROR")
    })

    test("[F-54] a flood of made-up refresh tokens is put on record in a few rows, and right ones are taken", async () => {
      const { vm, refresh_token } = await signedIn({ lockout: { ip_attempts: 3 } })
      const flood = async (tries: number) => {
        for (let i = 0; i < tries; i++)
          expect((await vm.refresh(`gh_rt_${"A".repeat(42)}${i % 10}`)).status).toBe(401)
      }
      await flood(30)
      vm.pass(1000)
      await flood(1)
      const records = await vm.store.all<{ action: string; details: string }>(
        "SELECT action, details FROM audit_events WHERE outcome = 'failure' ORDER BY id",
      )
      const each = records.filter(({ action }) => action === "token.refresh")
      expect(each.length).toBe(3)
      const together = records.filter(({ action }) => action === "auth.refused")
      const count = together.reduce((sum, { details }) => sum + JSON.parse(details).count, 0)
      expect(count).toBe(28)
      expect((await vm.refresh(refresh_token)).status).toBe(200)
    })

    test("[V-sec.2] the database holds no token, and what follows from one cannot be read with another", async () => {
      const { vm, refresh_token } = await signedIn()
      const { body } = await vm.refresh(refresh_token)
      const rows = JSON.stringify([
        await vm.store.all("SELECT * FROM refresh_tokens"),
        await vm.store.all("SELECT * FROM sessions"),
        await vm.store.all("SELECT * FROM audit_events"),
      ])
      for (const secret of [refresh_token, body.refresh_token, body.access_token])
        for (const part of [secret, secret.slice(6, 26)]) expect(rows).not.toContain(part)
      const other = await vm.logIn("ann@example.com")
      await vm.refresh(other.refresh_token)
      // Somebody who can write to the database puts one row's successor into another: it does not open there.
      await vm.store.run(
        `UPDATE refresh_tokens SET successor = (SELECT min(successor) FROM refresh_tokens)
         WHERE used_at IS NOT NULL`,
      )
      const answers = [await vm.refresh(refresh_token), await vm.refresh(other.refresh_token)]
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 500])
    })

    test("[T-4.3] scopes can be narrowed and never widened by refreshing", async () => {
      const { vm } = await signedIn()
      const narrow = await vm.logIn("ann@example.com", "read")
      const ask = (form: Record<string, string>) =>
        vm.ask("POST", "/auth/token", { form: { grant_type: "refresh_token", ...form } } satisfies Sent)
      const wider = await ask({ refresh_token: narrow.refresh_token, scope: "read write" })
      expect([wider.status, wider.body.error]).toEqual([400, "invalid_scope"])
      const same = await ask({ refresh_token: narrow.refresh_token })
      expect(same.body.scope).toBe("read")
      const full = await vm.logIn("ann@example.com")
      const once = await ask({ refresh_token: full.refresh_token, scope: "read" })
      expect(once.body.scope).toBe("read")
      const later = await ask({ refresh_token: once.body.refresh_token })
      expect(later.body.scope).toBe("read write")
    })

    test("[C-2.3] a role that was taken away is gone at the next refresh", async () => {
      const { vm, userId } = await signedIn()
      await vm.store.run(`UPDATE users SET roles = '["admin"]' WHERE id = $1`, [userId])
      const { refresh_token } = await vm.logIn("ann@example.com")
      await vm.store.run(`UPDATE users SET roles = '["child"]' WHERE id = $1`, [userId])
      expect((await vm.refresh(refresh_token)).body.scope).toBe("read")
    })

    test("no sign-in fills the store: of endless refreshes the last 2000 tokens are kept", async () => {
      const { vm, refresh_token } = await signedIn()
      await vm.store.run(
        `INSERT INTO refresh_tokens (token_hash, session_id, scope, created_at, expires_at, used_at)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
         SELECT 'hash-' || i, s.id, '', s.created_at - i, s.expires_at, s.created_at FROM n, sessions s`,
      )
      const { status, body } = await vm.refresh(refresh_token)
      expect(status).toBe(200)
      const count = "SELECT count(*) AS count FROM refresh_tokens"
      expect(await vm.store.get<{ count: number }>(count)).toEqual({ count: 2000 })
      vm.pass(1000)
      expect((await vm.refresh(body.refresh_token)).status).toBe(200)
    })

    test("[F-54] huge, SQL, of another kind, with NUL: refused as a refresh token, and nothing is harmed", async () => {
      const { vm, refresh_token } = await signedIn()
      const hostile = [
        `gh_rt_${"A".repeat(50_000)}`,
        "gh_rt_' OR 1=1; DROP TABLE refresh_tokens; --",
        `gh_st_${"A".repeat(43)}`,
        `${refresh_token}A`,
        refresh_token.toUpperCase(),
      ]
      for (const token of hostile) expect((await vm.refresh(token)).status).toBe(401)
      expect((await vm.refresh(`${refresh_token}\u0000`)).status).toBe(400)
      expect((await vm.refresh(refresh_token)).status).toBe(200)
    })
  })

test("[V-sec.2] two VMs on one PostgreSQL give one and the same successor", async () => {
  const url = await STORES[1]![1]()
  const one = await openVm(url)
  const two = await openVm(url)
  await one.addUser("ann@example.com")
  const { refresh_token } = await one.logIn("ann@example.com")
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? one : two).refresh(refresh_token)),
  )
  expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200))
  expect(new Set(answers.map(({ body }) => body.refresh_token)).size).toBe(1)
})
