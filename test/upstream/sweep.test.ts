import { afterEach, expect, jest, test } from "bun:test"
import { Inbox, type Receiver } from "../../src/http1/round.ts"

// One of its own: the timer of the others may be running already, on the real clock.
const SWEEP = "../../src/upstream/sweep.ts?on-fake-timers"
const { keepSwept, SWEEP_MS } = (await import(SWEEP)) as typeof import("../../src/upstream/sweep.ts")

afterEach(() => void jest.useRealTimers())

test("an answer that was read before its deadline is looked at is handled before", () => {
  jest.useFakeTimers()
  const order: string[] = []
  const inbox = new Inbox<Receiver>("answers", () => undefined)
  keepSwept({
    sweep() {
      order.push("deadline")
      return false
    },
  })
  inbox.put({ data: { received: () => order.push("answer") } }, Buffer.from("x"))
  jest.advanceTimersByTime(SWEEP_MS)
  expect(order).toEqual(["answer", "deadline"])
})
