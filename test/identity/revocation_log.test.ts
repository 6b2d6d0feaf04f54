import { afterEach, beforeAll, describe, expect, test } from "bun:test"
import type { Revocation } from "../../src/identity/messages.ts"
import { RevocationLog } from "../../src/identity/revocation_log.ts"
import type { Log } from "../../src/observe/log.ts"
import { type Store, StoreError } from "../../src/store/sql.ts"
import { closeVms, openVm } from "../support/identity_vm.ts"
import { lastTaken, WITHIN_MS } from "../support/last_taken.ts"
import { sharedPostgres } from "../support/postgres.ts"
import { closeStores, NO_LOG, open } from "../support/store.ts"
import { sqliteUrl } from "../support/store_urls.ts"

const logs: RevocationLog[] = []

afterEach(async () => {
  for (const log of logs.splice(0)) log.close()
  closeVms()
  await closeStores()
})

const START = 1_800_000_000_000
const HOUR = 3_600_000

/** A log whose polls happen only when the test asks for them. */
function createLog(store: Store, overrides: { log?: Log; clock?: { at: number } } = {}) {
  const told: Revocation[] = []
  const { log = NO_LOG, clock = { at: START } } = overrides
  const it = new RevocationLog({
    store,
    wallClock: () => clock.at,
    accessLifeMs: () => HOUR,
    tell: (revocations) => told.push(...revocations),
    later: () => () => {},
    log,
  })
  logs.push(it)
  return { it, told, clock, subjects: () => told.map(({ subject }) => subject) }
}

const session = (subject: string, expiresAt = START + HOUR): Revocation => ({
  kind: "session",
  subject,
  expiresAt,
})

describe("on one VM", () => {
  test("[C-2.9] what a transaction revokes is told once it is committed, not before", async () => {
    const { it, subjects } = createLog(await open(sqliteUrl()))
    await it.store.transaction(async (sql) => {
      await it.revoke(sql, [session("a")])
      expect(subjects()).toEqual([])
    })
    expect(subjects()).toEqual(["a"])
  })

  test("[C-2.9] what a transaction revokes is not told when it is rolled back", async () => {
    const { it, subjects } = createLog(await open(sqliteUrl()))
    const failing = it.store.transaction(async (sql) => {
      await it.revoke(sql, [session("a")])
      throw new Error("no")
    })
    await expect(failing).rejects.toThrow("no")
    await it.poll()
    expect(subjects()).toEqual([])
    expect(it.known()).toEqual([])
  })

  test("[C-2.9] a restart knows what was revoked before, and a new worker is told", async () => {
    const store = await open(sqliteUrl())
    await createLog(store).it.revoke(store, [session("a")])
    const { it } = createLog(store)
    await it.open()
    expect(it.known()).toEqual([session("a")])
  })

  test("a sign-in stays revoked as long as a token of the longest life since the start could last", async () => {
    const store = await open(sqliteUrl())
    const { it } = createLog(store)
    await it.revoke(store, [session("a", START + 1)])
    expect(it.known()).toEqual([session("a", START + HOUR)])
  })

  test("what has expired is forgotten, in memory and in the store", async () => {
    const store = await open(sqliteUrl())
    const { it, clock } = createLog(store)
    await it.revoke(store, [session("a"), { kind: "token", subject: "b", expiresAt: START + 2 * HOUR }])
    clock.at += HOUR
    await it.sweep()
    expect(it.known().map(({ subject }) => subject)).toEqual(["b"])
    expect(await store.all("SELECT subject FROM revocations")).toEqual([{ subject: "b" }])
  })
})

describe("between VMs", () => {
  test("a row that was written before the last poll and committed after it is not missed", async () => {
    const store = await open(sqliteUrl())
    const { it, subjects, clock } = createLog(store)
    await it.open()
    clock.at += 5000
    await it.poll()
    // As a transaction of another VM does that took five seconds.
    await createLog(store).it.revoke(store, [session("late")])
    clock.at += 400
    await it.poll()
    expect(subjects()).toEqual(["late"])
  })

  test("what is read again and again is told once", async () => {
    const store = await open(sqliteUrl())
    await createLog(store).it.revoke(store, [session("a")])
    const { it, subjects, clock } = createLog(store)
    await it.open()
    for (let i = 0; i < 5; i++) {
      clock.at += 400
      await it.poll()
    }
    expect(subjects()).toEqual(["a"])
  })

  test("a VM whose clock is behind by minutes is heard within a minute", async () => {
    const store = await open(sqliteUrl())
    const { it, subjects, clock } = createLog(store)
    await it.open()
    await createLog(store, { clock: { at: START - 5 * 60_000 } }).it.revoke(store, [session("a")])
    clock.at += 60_000
    await it.poll()
    expect(subjects()).toEqual(["a"])
  })

  test("[F-42 F-54] a VM whose clock was set back by an hour still hears those whose clocks are behind within a minute", async () => {
    const store = await open(sqliteUrl())
    const { it, clock, subjects } = createLog(store)
    await it.open()
    clock.at -= HOUR
    await it.poll()
    await createLog(store, { clock: { at: clock.at - 5 * 60_000 } }).it.revoke(store, [session("a")])
    clock.at += 60_000
    await it.poll()
    expect(subjects()).toEqual(["a"])
  })

  test("a store that is away is said once, traffic goes on, and nothing is missed when it is back", async () => {
    const store = await open(sqliteUrl())
    let away = false
    const shaky: Store = {
      ...store,
      all: (text, params) =>
        away ? Promise.reject(new StoreError("unavailable", "away")) : store.all(text, params),
    }
    const said: string[] = []
    const say = (event: string) => void said.push(event)
    const log: Log = { debug: say, info: say, warn: say, error: say }
    const { it, subjects, clock } = createLog(shaky, { log })
    await it.open()
    away = true
    for (let i = 0; i < 10; i++) {
      clock.at += 4000
      await it.poll()
    }
    await createLog(store).it.revoke(store, [session("meanwhile")])
    expect(said).toEqual(["revocations.unread"])
    away = false
    await it.poll()
    expect(subjects()).toEqual(["meanwhile"])
    expect(said).toEqual(["revocations.unread", "revocations.read"])
  })

  test("[F-54] [C-2.9] a logout on one VM holds on the other within a second", async () => {
    const url = await (await sharedPostgres()).createDatabase()
    const [one, two] = [await openVm(url), await openVm(url)]
    const id = await one.addUser("ann@example.com")
    const { access_token } = await one.logIn("ann@example.com")
    expect(await two.caller({ bearer: access_token })).toBe(id)
    expect((await one.ask("POST", "/auth/logout", { bearer: access_token })).status).toBe(200)
    const loggedOutAt = performance.now()
    expect(await one.caller({ bearer: access_token })).toBe("")
    const isTaken = async () => (await two.caller({ bearer: access_token })) !== ""
    expect(await lastTaken(isTaken, loggedOutAt, 1)).toBeLessThan(WITHIN_MS)
  }, 30_000)
})

beforeAll(async () => void (await sharedPostgres()), 30_000)
