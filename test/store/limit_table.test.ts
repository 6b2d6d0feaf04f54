import { expect, test } from "bun:test"
import { createLimitMemory, Decision, LimitTable } from "../../src/store/limit_table.ts"
import type { LimitJob } from "../support/limit_worker.ts"

const PER_SECOND = { emissionMs: 100, toleranceMs: 500, overflow: 0 }
const START = 1_000_000

function makeTable(maxKeys = 1) {
  const table = new LimitTable(createLimitMemory(maxKeys))
  const decision = new Decision()
  return {
    table,
    take(low: number, nowMs: number, cost = 1, bucket = PER_SECOND) {
      table.take(7, low, bucket, cost, nowMs, decision)
      return { ...decision }
    },
    peek(low: number, nowMs: number, cost = 1) {
      table.peek(7, low, PER_SECOND, cost, nowMs, decision)
      return { ...decision }
    },
  }
}

/** Keys of one set: a table for few keys has 64 sets. */
const inOneSet = (count: number) => Array.from({ length: count }, (_, i) => i * 64)

test("[T-5.1] a bucket holds its burst, and gives one more token each emission", () => {
  const { take } = makeTable()
  expect([1, 2, 3, 4, 5].map(() => take(1, START).remaining)).toEqual([4, 3, 2, 1, 0])
  expect(take(1, START)).toMatchObject({ allowed: false, retryAfterMs: 100, resetMs: 500, remaining: 0 })
  expect(take(1, START + 99).allowed).toBe(false)
  expect(take(1, START + 100)).toMatchObject({ allowed: true, remaining: 0 })
  expect(take(1, START + 100).allowed).toBe(false)
  expect(take(1, START + 10_000)).toMatchObject({ allowed: true, remaining: 4, resetMs: 100 })
})

test("a refusal takes nothing, nor does a look", () => {
  const { take, peek } = makeTable()
  expect(take(1, START, 4).remaining).toBe(1)
  expect(take(1, START, 3)).toMatchObject({ allowed: false, retryAfterMs: 200, remaining: 1 })
  expect(peek(1, START)).toMatchObject({ allowed: true, remaining: 1, resetMs: 400 })
  expect(peek(1, START, 2).retryAfterMs).toBe(100)
  expect(take(1, START).allowed).toBe(true)
})

test("what is given back can be taken again", () => {
  const { table, take } = makeTable()
  take(1, START, 5)
  table.giveBack(7, 1, PER_SECOND, 2)
  expect(take(1, START, 2)).toMatchObject({ allowed: true, remaining: 0 })
  expect(take(1, START).allowed).toBe(false)
  table.giveBack(7, 2, PER_SECOND, 1)
  expect(take(2, START, 5).remaining).toBe(0)
})

test("keys do not know of each other, and more cost takes more", () => {
  const { take } = makeTable()
  expect(take(1, START, 5).allowed).toBe(true)
  expect(take(2, START, 2)).toMatchObject({ allowed: true, remaining: 3 })
})

test("[F-42] a clock that goes back makes nobody wait longer than 8 buckets, and never less than not at all", () => {
  const { take } = makeTable()
  take(1, START + 3_600_000, 5)
  const { allowed, retryAfterMs, resetMs } = take(1, START)
  expect(allowed).toBe(false)
  expect(retryAfterMs).toBe(8 * 500 + 100 - 500)
  expect(resetMs).toBe(4000)
  expect(take(1, START + retryAfterMs - 1).allowed).toBe(false)
  expect(take(1, START + retryAfterMs).allowed).toBe(true)
})

test("[F-42] a clock that goes forward fills buckets and no more", () => {
  const { take } = makeTable()
  take(1, START, 5)
  expect(take(1, START + 3_600_000)).toMatchObject({ allowed: true, remaining: 4, resetMs: 100 })
})

test("[F-60] a full set forgives nobody: newcomers share a bucket, and start from its state later", () => {
  const { take } = makeTable()
  const keys = inOneSet(18)
  const [ninth, tenth] = [keys[16]!, keys[17]!]
  for (const key of keys.slice(0, 16))
    expect(take(key, START, 5)).toMatchObject({ allowed: true, shared: false })
  expect(take(ninth, START, 3)).toMatchObject({ allowed: true, shared: true, remaining: 2 })
  expect(take(tenth, START, 3)).toMatchObject({ allowed: false, shared: true })
  for (const key of keys.slice(0, 16)) expect(take(key, START).allowed).toBe(false)
  // Slots are idle from 500 ms on, and a little later free; the shared bucket is full again after 300 ms.
  expect(take(tenth, START + 510)).toMatchObject({ allowed: true, shared: true, remaining: 4 })
  expect(take(ninth, START + 530)).toMatchObject({ allowed: true, shared: false, resetMs: 180 })
})

test("[F-60] groups of limits share no bucket when the table is full", () => {
  const { take } = makeTable()
  const keys = inOneSet(18)
  for (const key of keys.slice(0, 16)) take(key, START, 5)
  expect(take(keys[16]!, START, 5).shared).toBe(true)
  expect(take(keys[16]!, START).allowed).toBe(false)
  expect(take(keys[16]!, START, 5, { ...PER_SECOND, overflow: 255 })).toMatchObject({
    allowed: true,
    shared: true,
  })
})

test("idle keys make room without anybody sweeping", () => {
  const { table, take } = makeTable()
  for (let second = 0; second < 100; second++)
    for (const key of inOneSet(16))
      expect(take(key + (second + 1) * 65_536, START + second * 1000).shared).toBe(false)
  expect(table.countKeys(START + 99_000)).toBe(16)
  expect(table.countKeys(START + 99_101)).toBe(0)
})

test("the table of a million keys takes 23 MB of address space", () => {
  expect(createLimitMemory(1_000_000).byteLength).toBe(1_400_000 * 16.5 + 64 + 4096)
  expect(new LimitTable(createLimitMemory(1)).slots).toBe(1024)
})

async function hammer(threads: number, job: Omit<LimitJob, "memory" | "words">): Promise<number[]> {
  const words = new SharedArrayBuffer(12)
  const view = new Int32Array(words)
  view[2] = 1000
  const memory = createLimitMemory(1)
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL("../support/limit_worker.ts", import.meta.url).href),
  )
  try {
    const results = workers.map((worker) => {
      const { promise, resolve, reject } = Promise.withResolvers<number[]>()
      worker.onmessage = ({ data }) => resolve(data)
      worker.onerror = (event) => reject(new Error(event.message))
      worker.postMessage({ ...job, memory, words } satisfies LimitJob)
      return promise
    })
    while (Atomics.load(view, 0) < threads) await Bun.sleep(1)
    Atomics.store(view, 1, 1)
    Atomics.notify(view, 1)
    const admitted = job.keys.map(() => 0)
    for (const each of await Promise.all(results))
      for (const [i, count] of each.entries()) admitted[i]! += count
    return [...admitted, view[2]!]
  } finally {
    for (const worker of workers) worker.terminate()
  }
}

test("[T-5.1] threads that take from one bucket at once get exactly its burst together", async () => {
  const job = { keys: [5], rounds: 60_000, emissionMs: 10, burst: 100_000, takesPerMs: 0 }
  expect((await hammer(4, job))[0]).toBe(100_000)
})

test("[T-5.1] a key that many threads bring at once gets one bucket, also in a full set", async () => {
  const job = { keys: inOneSet(16), rounds: 400, emissionMs: 10, burst: 300, takesPerMs: 0 }
  expect((await hammer(4, job)).slice(0, 16)).toEqual(Array(16).fill(300))
})

test("[F-60] keys that push each other out of their slots under threads get no token too many", async () => {
  // 40 keys for 16 slots; each is idle again 25 ms after one take.
  const job = { keys: inOneSet(40), rounds: 5000, emissionMs: 5, burst: 2, takesPerMs: 8 }
  const found = await hammer(4, job)
  const passedMs = found.pop()! - 1000
  expect(passedMs).toBeGreaterThan(1000)
  for (const admitted of found) expect(admitted).toBeLessThanOrEqual(2 + passedMs / 5)
  expect(Math.max(...found)).toBeGreaterThan(passedMs / 50)
})
