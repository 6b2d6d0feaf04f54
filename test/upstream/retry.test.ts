import { describe, expect, test } from "bun:test"
import { NO_FIELDS } from "../../src/http1/field_list.ts"
import type { Asked, AskFailure } from "../../src/upstream/ask.ts"
import { createUpstreamMemory } from "../../src/upstream/memory.ts"
import {
  backoffMs,
  blame,
  compileRetry,
  isIdempotent,
  RetryBudget,
  retryKind,
  type UploadState,
} from "../../src/upstream/retry.ts"
import { serviceConfig } from "../support/services.ts"

const rulesOf = (retry: object) =>
  compileRetry(serviceConfig({ instances: ["http://127.0.0.1:1"], retry }).retry)
const ALL = rulesOf({ attempts: 3, on: ["connect", "reset", "timeout", "502", "503", "504"] })

const failed = (reason: AskFailure, sent: boolean, stale = false): Asked => ({
  kind: "failed",
  reason,
  sent,
  stale,
  cause: "",
})
const answered = (status: number) =>
  ({ kind: "response", status, fields: NO_FIELDS, body: undefined }) as unknown as Asked

describe("[C-7.4 C-rel.2] a retry", () => {
  test("is made for every method when nothing was sent", () => {
    for (const method of ["GET", "POST", "PATCH", "BREW"])
      expect(retryKind(failed("connect", false), method, "none", ALL, 1, false)).toBe("paid")
  })

  test("[F-35] is never made for a method that is not idempotent once something was sent", () => {
    for (const method of ["POST", "PATCH", "CONNECT", "BREW", "get"]) {
      expect(isIdempotent(method)).toBe(false)
      for (const asked of [
        failed("reset", true),
        failed("reset", true, true),
        failed("timeout", true),
        answered(503),
      ])
        expect(retryKind(asked, method, "none", ALL, 1, false)).toBe("no")
    }
  })

  test("is made for idempotent methods on what `on` lists, and only on that", () => {
    const rules = rulesOf({ attempts: 2, on: ["503"] })
    expect(retryKind(answered(503), "PUT", "none", rules, 1, false)).toBe("paid")
    for (const asked of [answered(502), answered(500), failed("reset", true), failed("connect", false)])
      expect(retryKind(asked, "PUT", "none", rules, 1, false)).toBe("no")
    for (const asked of [failed("protocol", true), failed("cancelled", false), answered(500)])
      expect(retryKind(asked, "GET", "none", ALL, 1, false)).toBe("no")
  })

  test("ends with the attempts", () => {
    expect(retryKind(failed("reset", true), "GET", "none", ALL, 2, false)).toBe("paid")
    expect(retryKind(failed("reset", true), "GET", "none", ALL, 3, false)).toBe("no")
  })

  test("[C-8.8] is made beyond the attempts where an instance refused the connection and another was not asked", () => {
    const refused = failed("connect", false)
    expect(retryKind(refused, "POST", "none", ALL, 3, false, true)).toBe("moved")
    expect(retryKind(refused, "POST", "none", ALL, 3, false, false)).toBe("no")
    expect(retryKind(refused, "POST", "none", ALL, 2, false, true)).toBe("paid")
    for (const asked of [failed("connect_timeout", false), failed("reset", true), answered(503)])
      expect(retryKind(asked, "GET", "none", ALL, 3, false, true)).toBe("no")
    // Who wants no retries gets none.
    expect(retryKind(refused, "GET", "none", rulesOf({ attempts: 1 }), 1, false, true)).toBe("no")
    expect(retryKind(refused, "GET", "none", rulesOf({ on: ["reset"] }), 2, false, true)).toBe("no")
  })

  test("is made with a streamed body only while none of it was taken from the client and nothing was sent", () => {
    expect(retryKind(failed("connect", false), "PUT", "unread", ALL, 1, false)).toBe("paid")
    expect(retryKind(failed("reset", true), "PUT", "unread", ALL, 1, false)).toBe("no")
    for (const upload of [
      "waiting_for_client",
      "waiting_for_upstream",
      "complete",
      "broken",
    ] as UploadState[])
      expect(retryKind(failed("connect", false), "PUT", upload, ALL, 1, false)).toBe("no")
  })

  test("[F-35] is free once when a kept connection died as it was used again", () => {
    const none = rulesOf({ attempts: 1 })
    expect(retryKind(failed("reset", true, true), "GET", "none", none, 1, false)).toBe("free")
    expect(retryKind(failed("reset", true, true), "GET", "none", none, 1, true)).toBe("no")
  })

  test("waits longer each time, with full jitter, up to the bound", () => {
    const rules = rulesOf({ backoff: "25ms", max_backoff: "250ms" })
    expect([1, 2, 3, 4, 5, 10].map((attempt) => backoffMs(rules, attempt, () => 1))).toEqual([
      25, 50, 100, 200, 250, 250,
    ])
    expect(backoffMs(rules, 3, () => 0.5)).toBe(50)
    expect(backoffMs(rules, 3, () => 0)).toBe(0)
  })
})

describe("[F-39] the retry budget", () => {
  test("keeps retries to its share of requests, over all threads", () => {
    const memory = createUpstreamMemory(2)
    const budgets = [new RetryBudget(memory, 3, 0.2), new RetryBudget(memory, 3, 0.2)]
    let retries = 0
    for (let i = 0; i < 10_000; i++) {
      const budget = budgets[i % 2]!
      budget.requested(i)
      for (let j = 0; j < 3; j++) if (budget.take(i)) retries++
    }
    expect(retries).toBeLessThanOrEqual(2000)
    expect(retries).toBeGreaterThan(1900)
  })

  test("lets a quiet service retry a little, and none at all with a share of 0", () => {
    const budget = new RetryBudget(createUpstreamMemory(1), 0, 0.2)
    let taken = 0
    for (let i = 0; i < 100; i++) if (budget.take(0)) taken++
    expect(taken).toBe(10)
    expect(budget.take(10_000)).toBe(true)
    expect(new RetryBudget(createUpstreamMemory(1), 0, 0).take(0)).toBe(false)
  })
})

describe("blame", () => {
  test("falls on the instance for what it did", () => {
    for (const reason of ["connect", "connect_timeout", "reset", "timeout", "protocol"] as AskFailure[])
      expect(blame(failed(reason, true), "none")).toBe("instance")
    for (const status of [500, 502, 503, 504]) expect(blame(answered(status), "none")).toBe("instance")
  })

  test("does not fall on it for what the client or the gateway did", () => {
    for (const status of [200, 404, 429, 501, 505]) expect(blame(answered(status), "none")).toBe("nobody")
    expect(blame(failed("cancelled", true), "none")).toBe("client")
    expect(blame(failed("timeout", true), "waiting_for_client")).toBe("client")
    expect(blame(failed("reset", true), "broken")).toBe("client")
    expect(blame(failed("timeout", true), "waiting_for_upstream")).toBe("instance")
    expect(blame(failed("pool_full", false), "none")).toBe("gateway")
    expect(blame(failed("reset", true, true), "none")).toBe("nobody")
  })
})
