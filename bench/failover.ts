import { endNginx, type Nginx, startNginx } from "../test/support/nginx.ts"
import { openGateway } from "./gateway.ts"
import { wrk } from "./load.ts"
import { CONTENDER_CORE, LOAD_CORE } from "./process.ts"

const CONNECTIONS = 256
const HEALTH_INTERVAL_MS = 1000
/** Largest deviation of an instance's share of the requests from one half. */
const TARGET_SHARE = 0.05

/** Two nginx behind the gateway under wrk; one of them is killed and comes back. No request may fail. */
export async function failover(): Promise<boolean> {
  const under = ["taskset", "-c", LOAD_CORE]
  const [one, two] = [await startNginx("one", under), await startNginx("two", under)]
  const gateway = await openGateway(
    {
      services: {
        app: {
          instances: [one.url, two.url],
          health: { path: "/", interval: "1s", timeout: "900ms", unhealthy_after: 2, healthy_after: 1 },
        },
      },
      routes: [{ path: "/*", service: "app" }],
    },
    CONTENDER_CORE,
  )
  try {
    const url = `http://127.0.0.1:${gateway.port}/`
    console.log(`\nfailover, ${CONNECTIONS} connections, health checks every ${HEALTH_INTERVAL_MS} ms`)

    const steady = await wrk(url, CONNECTIONS, 5)
    const [ones, twos] = [await one.answered(), await two.answered()]
    const share = ones / (ones + twos)
    console.log(
      `both up:        ${steady.requests} requests, ${steady.errors} errors, shares ${percent(share)} and ${percent(1 - share)}`,
    )

    const load = wrk(url, CONNECTIONS, 12)
    await Bun.sleep(2000)
    const lines = gateway.log.length
    const killedAt = performance.now()
    await two.kill()
    const left = await gateway.logged("instance.ejected", lines)
    const unhealthy = await gateway.logged("instance.unhealthy", lines)
    await Bun.sleep(2000)
    const startedAt = performance.now()
    await two.start()
    const listens = performance.now()
    await gateway.logged("instance.healthy", lines)
    const returnMs = (await busyAgain(two)) - listens
    const disturbed = await load
    console.log(`one killed:     ${disturbed.requests} requests, ${disturbed.errors} errors`)
    console.log(
      `time to leave:  ${(left.at - killedAt).toFixed(0)} ms by its failures, ${(unhealthy.at - killedAt).toFixed(0)} ms by health checks`,
    )
    console.log(
      `time to return: ${returnMs.toFixed(0)} ms after it listened (which took ${(listens - startedAt).toFixed(0)} ms)`,
    )

    const ok =
      steady.errors + disturbed.errors === 0 &&
      Math.abs(share - 0.5) <= TARGET_SHARE &&
      returnMs <= 2 * HEALTH_INTERVAL_MS
    console.log(
      `${ok ? "PASS" : "FAIL"}: no error, shares within ${percent(TARGET_SHARE)}, back within two health intervals`,
    )
    return ok
  } finally {
    await gateway.stop()
    await endNginx()
  }
}

/** When it answers more than health checks alone would ask. */
async function busyAgain(nginx: Nginx): Promise<number> {
  while ((await nginx.answered()) < 100) await Bun.sleep(5)
  return performance.now()
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

if (import.meta.main) process.exit((await failover()) ? 0 : 1)
