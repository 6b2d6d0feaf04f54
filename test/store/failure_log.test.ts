import { expect, test } from "bun:test"
import { createFailureLog } from "../../src/store/failure_log.ts"
import { StoreError } from "../../src/store/sql.ts"
import { NO_LOG } from "../support/store.ts"

test("a failure that goes on is told once a minute, each kind for itself, and a conflict never", () => {
  const lines: unknown[] = []
  let now = 0
  const tell = createFailureLog({ ...NO_LOG, error: (_, fields) => void lines.push(fields) }, () => now)
  tell(new StoreError("conflict", "there"))
  for (now = 0; now < 60_000; now += 10_000) tell(new StoreError("full", "no room"))
  tell(new StoreError("busy", "later"))
  tell(new StoreError("full", "still no room"))
  expect(lines).toEqual([
    { kind: "full", reason: "no room", untold: 0 },
    { kind: "busy", reason: "later", untold: 0 },
    { kind: "full", reason: "still no room", untold: 5 },
  ])
})
