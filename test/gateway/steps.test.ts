import { expect, test } from "bun:test"
import type { Route, Step } from "../../src/gateway/route.ts"
import { runResponseSteps } from "../../src/gateway/steps.ts"
import { makeExchange } from "../support/exchange.ts"
import { memoryLog } from "../support/memory_log.ts"

test("[C-1.4] a response step that fails closed refuses a WebSocket that was about to be accepted", () => {
  let refused = 0
  const exchange = makeExchange()
  exchange.socket = { handler: undefined, protocol: "", refused: () => void refused++ }
  const broken: Step<"response"> = {
    policy: "p",
    failsClosed: true,
    always: false,
    run() {
      throw new Error("broken")
    },
  }
  const runtime = { log: memoryLog() } as unknown as Parameters<typeof runResponseSteps>[2]
  runResponseSteps(exchange, { responseSteps: [broken] } as unknown as Route, runtime, 0)
  expect(exchange.socket).toBeUndefined()
  expect(refused).toBe(1)
  expect(exchange.answer!.status).toBe(500)
})
