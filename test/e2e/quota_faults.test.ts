import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { askAtOnce, bearer, storiesConfig } from "../support/quota.ts"
import { STORES } from "../support/store_urls.ts"
import { mountTmpfs, unmountAll } from "../support/tmpfs.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

afterEach(async () => {
  await endGateways()
  unmountAll()
})

/** A month: no test of these meets its end by chance, other than once a month. */
const MONTH = { per: "month" }
const CALLERS = 16

const usedOf = async (gateway: GatewayProcess, subject: string) =>
  Number((await (await gateway.admin(`/admin/v1/quotas/stories/subjects/${subject}`)).json()).used)

for (const [name, freshUrl] of STORES)
  test(`[F-43] [V-rl.2] killed in the midst of requests, a gateway on ${name} forgets no unit of an answer that came, and has counted no more than were asked for`, async () => {
    const config = storiesConfig(await freshUrl(), { ...MONTH, limits: { basic: 1_000_000, premium: 1 } })
    let answered = 0
    for (let round = 0; round < 3; round++) {
      const gateway = await startGateway(config)
      const before = await usedOf(gateway, "user:ann")
      expect(before).toBeGreaterThanOrEqual(answered)
      // Each caller may have been counted once without an answer.
      expect(before).toBeLessThanOrEqual(answered + round * CALLERS)
      const callers = Array.from({ length: CALLERS }, () => askUntilGone(gateway, () => answered++))
      await until(() => answered > (round + 1) * 100, "answers")
      gateway.signal("SIGKILL")
      await Promise.all(callers)
    }
    const last = await startGateway(config)
    const used = await usedOf(last, "user:ann")
    expect(used).toBeGreaterThanOrEqual(answered)
    expect(used).toBeLessThanOrEqual(answered + 3 * CALLERS)
  })

/** One request after the other. */
async function askUntilGone({ url }: GatewayProcess, onAnswer: () => void): Promise<void> {
  for (;;) {
    try {
      const { status } = await fetch(`${url}/stories`, { method: "POST", headers: bearer("ann") })
      if (status === 200) onAnswer()
    } catch {
      // It was killed.
      return
    }
  }
}

test("[F-44] with its disk full a gateway refuses what has a quota, or lets it through where that is said, and counts on when there is room", async () => {
  const mount = mountTmpfs("size=4m")
  if (mount === undefined) return
  const store = `sqlite:${join(mount, "store.db")}`
  const { quota, ...route } = storiesConfig(store, MONTH).routes[0]!
  const open = { ...route, path: "/open", quota: { ...quota, name: "open", on_failure: "allow" } }
  const gateway = await startGateway(storiesConfig(store, MONTH, { routes: [{ ...route, quota }, open] }))
  expect(await askAtOnce([gateway], 2, bearer("ann"))).toEqual({ 200: 2 })
  const ballast = join(mount, "ballast")
  fill(ballast)
  // What room its files still have is used up by callers who are new.
  let caller = 0
  await untilAsked(
    async () => 503 in (await askAtOnce([gateway], 50, bearer(`x${++caller}`))),
    "it to be full",
    20_000,
  )
  const response = await fetch(`${gateway.url}/stories`, { headers: bearer("ann") })
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"])
  expect(await askAtOnce([gateway], 10, bearer("ann"), "/open")).toEqual({ 200: 10 })
  expect(gateway.log.some((line) => line.event === "store.failing" && line.kind === "full")).toBe(true)
  rmSync(ballast)
  await untilAsked(async () => 200 in (await askAtOnce([gateway], 1, bearer("bob"))), "room")
  // Nothing that was refused is counted.
  expect(await askAtOnce([gateway], 5, bearer("ann"))).toEqual({ 200: 3, 429: 2 })
})

/** Takes all the room there is. */
function fill(file: string): void {
  for (let kilobytes = 4096; kilobytes >= 4; kilobytes /= 2)
    for (let more = true; more; )
      try {
        writeFileSync(file, new Uint8Array(kilobytes * 1024), { flag: "a" })
      } catch {
        // So much does not fit any more.
        more = false
      }
}
