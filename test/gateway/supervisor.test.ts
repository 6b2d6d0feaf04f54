import { expect, test } from "bun:test"
import type { FromWorker, ToWorker } from "../../src/gateway/protocol.ts"
import { Supervisor, type ThreadEvents } from "../../src/gateway/supervisor.ts"
import { FakeTime } from "../support/fake_time.ts"
import { memoryLog } from "../support/memory_log.ts"

/** A thread that notes what it is told and answers when the test says so. */
class FakeThread {
  readonly index: number
  readonly posted: ToWorker[] = []
  readonly #events: ThreadEvents
  terminated = false

  constructor(index: number, events: ThreadEvents) {
    this.index = index
    this.#events = events
  }

  post(message: ToWorker): void {
    this.posted.push(message)
  }

  terminate(): void {
    this.terminated = true
  }

  say(message: FromWorker): void {
    this.#events.message(message)
  }

  die(reason = "exit code 0"): void {
    this.#events.lost(reason)
  }

  told(kind: ToWorker["kind"]): ToWorker[] {
    return this.posted.filter((message) => message.kind === kind)
  }
}

function setUp(workers = 2, port = 8080) {
  const time = new FakeTime()
  const log = memoryLog()
  const threads: FakeThread[] = []
  const lost: number[] = []
  const messages: FromWorker[] = []
  const supervisor = new Supervisor({
    workers,
    port,
    startThread(index, events) {
      const thread = new FakeThread(index, events)
      threads.push(thread)
      return thread
    },
    init: (worker, onPort) => ({ kind: "init", worker, port: onPort }) as ToWorker,
    onMessage: (message) => messages.push(message),
    onLost: (index) => lost.push(index),
    log,
    after: time.after,
  })
  return { supervisor, time, log, threads, lost, messages }
}

const ready = (port = 8080): FromWorker => ({ kind: "ready", port, generation: 1 })
const APPLY = { kind: "apply", generation: { number: 2 } } as ToWorker & { kind: "apply" }

async function started(workers = 2) {
  const parts = setUp(workers)
  const start = parts.supervisor.start()
  for (const thread of parts.threads) thread.say(ready())
  await start
  return parts
}

test("with port 0 the first worker chooses the port and the others get it", async () => {
  const { supervisor, threads } = setUp(3, 0)
  const start = supervisor.start()
  expect(threads.map((thread) => thread.told("init").length)).toEqual([1, 0, 0])
  threads[0]!.say(ready(45_678))
  await Bun.sleep(0)
  expect(threads.slice(1).map((thread) => thread.told("init"))).toEqual([
    [{ kind: "init", worker: 1, port: 45_678 } as ToWorker],
    [{ kind: "init", worker: 2, port: 45_678 } as ToWorker],
  ])
  for (const thread of threads.slice(1)) thread.say(ready(45_678))
  expect(await start).toBe(45_678)
})

test("a worker that cannot start fails the start with its reason and ends the others", async () => {
  const { supervisor, threads } = setUp()
  const start = supervisor.start()
  threads[0]!.say(ready())
  threads[1]!.say({ kind: "failed", reason: "the port is taken" })
  expect(start).rejects.toThrow("the port is taken")
  await start.catch(() => {})
  expect(threads.every((thread) => thread.terminated)).toBe(true)
})

test("a worker that dies at start fails the start; it is not replaced", async () => {
  const { supervisor, threads, time } = setUp(1)
  const start = supervisor.start()
  threads[0]!.die("exit code 1")
  expect(start).rejects.toThrow("exit code 1")
  await start.catch(() => {})
  time.pass(60_000)
  expect(threads).toHaveLength(1)
})

test("a worker that dies is replaced at once, its marks are voided and the loss is logged", async () => {
  const { supervisor, threads, lost, log, time } = await started()
  threads[1]!.die("exit code 0")
  expect(lost).toEqual([1])
  expect(log.events[0]).toMatchObject({ level: "error", event: "worker.lost", fields: { worker: 1 } })
  time.pass(0)
  expect(threads).toHaveLength(3)
  expect(threads[2]!.index).toBe(1)
  expect(threads[2]!.told("init")).toEqual([{ kind: "init", worker: 1, port: 8080 } as ToWorker])
  threads[2]!.say(ready())
  expect(supervisor.status()[1]).toEqual({ index: 1, state: "running", restarts: 1, generation: 1 })
  expect(threads[0]!.terminated).toBe(false)
})

test("a worker that keeps dying is replaced ever more slowly, at most every 5 s", async () => {
  const { threads, time } = await started(1)
  const waits: number[] = []
  for (let i = 0; i < 10; i++) {
    const before = threads.length
    const from = time.now()
    threads.at(-1)!.die()
    time.pass(0)
    while (threads.length === before) time.pass(50)
    waits.push(time.now() - from)
  }
  expect(waits[0]).toBe(0)
  expect(waits.slice(1)).toEqual([...waits.slice(1)].sort((a, b) => a - b))
  expect(waits.at(-1)).toBe(5000)
})

test("after half a minute of good health the next death is again replaced at once", async () => {
  const { threads, time } = await started(1)
  threads[0]!.die()
  time.pass(0)
  threads[1]!.say(ready())
  for (let i = 0; i < 15; i++) {
    time.pass(2000)
    threads[1]!.say({ kind: "pong" })
  }
  threads[1]!.die()
  time.pass(0)
  expect(threads).toHaveLength(3)
})

test("a worker that answers no ping for 10 s hangs: it is ended and replaced", async () => {
  const { threads, time, log } = await started()
  for (let i = 0; i < 6; i++) {
    threads[0]!.say({ kind: "pong" })
    time.pass(2000)
  }
  expect(threads[0]!.terminated).toBe(false)
  expect(threads[1]!.terminated).toBe(true)
  expect(String(log.events[0]!.fields.reason)).toContain("hangs")
  time.pass(0)
  expect(threads[2]!.index).toBe(1)
})

test("apply waits for every worker and tells what was refused, each reason once", async () => {
  const { supervisor, threads } = await started(3)
  const applied = supervisor.apply(APPLY)
  threads[0]!.say({ kind: "applied", generation: 2, error: "" })
  threads[1]!.say({ kind: "applied", generation: 2, error: "no such thing" })
  threads[2]!.say({ kind: "applied", generation: 2, error: "no such thing" })
  expect(await applied).toEqual(["no such thing"])
  expect(supervisor.status().map((worker) => worker.generation)).toEqual([2, 1, 1])
})

test("apply does not wait for a worker that dies meanwhile", async () => {
  const { supervisor, threads } = await started()
  const applied = supervisor.apply(APPLY)
  threads[0]!.say({ kind: "applied", generation: 2, error: "" })
  threads[1]!.die()
  expect(await applied).toEqual([])
})

test("close waits for the workers, then none is left and none is replaced", async () => {
  const { supervisor, threads, time } = await started()
  const closed = supervisor.close(30_000)
  expect(threads.map((thread) => thread.told("close").length)).toEqual([1, 1])
  threads[0]!.say({ kind: "closed" })
  threads[1]!.die()
  expect(await closed).toBe(0)
  time.pass(60_000)
  expect(threads).toHaveLength(2)
})

test("[F-48] close ends workers still busy after the deadline and counts them", async () => {
  const { supervisor, threads, time } = await started()
  const closed = supervisor.close(30_000)
  threads[0]!.say({ kind: "closed" })
  time.pass(30_000)
  expect(await closed).toBe(1)
  expect(threads[1]!.terminated).toBe(true)
})

test("what a dead thread still says is ignored", async () => {
  const { supervisor, threads, messages, time } = await started(1)
  threads[0]!.die()
  time.pass(0)
  threads[0]!.say({ kind: "access", lines: "late\n" })
  threads[0]!.say(ready())
  expect(messages).toEqual([])
  expect(supervisor.status()[0]!.state).toBe("starting")
})
