import { endMachines, type LimitMachine, sharedBucket, startMachine } from "../test/support/limit_machine.ts"
import { endRedis, startRedis } from "../test/support/redis.ts"

const RATE = 2000
const BURST = 200
const RUN_MS = 2000
const ASKED = 4 * RATE
const LOADS = { even: [1, 1, 1], skewed: [8, 1, 1] } as const

/** How much more than one limit three gateways admit that share it by one Redis, when four times as much is asked. */
export async function limitsShared(): Promise<boolean> {
  console.log(
    `\nrate_limit of ${RATE}/s, burst ${BURST}, shared by 3 gateways; ${ASKED}/s asked for ${RUN_MS} ms`,
  )
  console.log(
    `${"sync_interval".padEnd(16)}${"load".padEnd(10)}${["admitted", "limit", "error", "bound"].map((word) => word.padStart(10)).join("")}`,
  )
  const redis = await startRedis()
  let held = true
  try {
    for (const intervalMs of [50, 100, 500])
      for (const [load, shares] of Object.entries(LOADS))
        held = (await run(redis.url, intervalMs, load, shares)) && held
  } finally {
    await endRedis()
  }
  console.log(`${held ? "PASS" : "FAIL"}: within the limit and what the other two admit in one interval`)
  return held
}

async function run(
  url: string,
  intervalMs: number,
  load: string,
  shares: readonly number[],
): Promise<boolean> {
  const machines: LimitMachine[] = []
  for (const _ of shares) machines.push(await startMachine(url, intervalMs))
  const bucket = sharedBucket(RATE, BURST)
  const caller = `${load} ${intervalMs}`
  const all = shares.reduce((sum, share) => sum + share, 0)
  const asked = shares.map(() => 0)
  let admitted = 0
  const began = performance.now()
  let elapsedMs = 0
  while (elapsedMs < RUN_MS) {
    elapsedMs = performance.now() - began
    for (const [i, machine] of machines.entries()) {
      const due = (((elapsedMs / 1000) * ASKED) / all) * shares[i]!
      for (; asked[i]! < due; asked[i]!++) if (machine.take(caller, bucket)) admitted++
    }
    await Bun.sleep(1)
  }
  endMachines()
  const limit = BURST + (RATE * elapsedMs) / 1000
  // What two others may admit before they know: a bucket, and the rate of an interval and a round trip.
  const bound = 2 * (BURST + (RATE * (intervalMs + 20)) / 1000)
  const cells = [admitted, Math.round(limit), `${((admitted / limit - 1) * 100).toFixed(1)} %`, `+${bound}`]
  console.log(
    `${`${intervalMs} ms`.padEnd(16)}${load.padEnd(10)}${cells.map((cell) => String(cell).padStart(10)).join("")}`,
  )
  return admitted <= limit + bound
}

if (import.meta.main) process.exit((await limitsShared()) ? 0 : 1)
