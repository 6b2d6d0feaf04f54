import { expect, test } from "bun:test"
import { restartNeeded } from "../../src/gateway/restart_needed.ts"
import { exampleConfig } from "../support/config.ts"

test("bounds of channels in memory are fixed at the start, with or without a section realtime", () => {
  const none = exampleConfig({})
  const usual = exampleConfig({ realtime: {} })
  const other = exampleConfig({ realtime: { max_channels: 7, max_memory: "1MB", max_subscriptions: 5 } })
  expect(restartNeeded(none, usual)).toEqual([])
  expect(restartNeeded(none, other)).toEqual(["realtime.max_channels", "realtime.max_memory"])
  expect(restartNeeded(other, none)).toEqual(["realtime.max_channels", "realtime.max_memory"])
})

test("whether WebSockets are compressed is fixed at the start", () => {
  const compressing = exampleConfig({ server: { websocket: { compression: true } } })
  expect(restartNeeded(exampleConfig({}), compressing)).toEqual(["server.websocket.compression"])
})
