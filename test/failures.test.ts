import { expect, test } from "bun:test"
import { readFailures, tellFailures } from "./failures.ts"

/** What a run wrote to stderr, shortened. */
const OUTPUT = `
test/lib/a.test.ts:
(pass) group > ok [0.01ms]
{"level":"warn","message":"noise of the tested code"}
3 | test("ok", () => {})
4 | test("bad", () => expect(1).toBe(2))
                                ^
error: expect(received).toBe(expected)

Expected: 2
Received: 1

      at <anonymous> (test/lib/a.test.ts:4:50)
(fail) group > [F-01] bad [1.58ms]
(fail) group > slow [50.15ms]
  ^ this test timed out after 50ms.
(skip) group > s

test/lib/b.test.ts:

# Unhandled error between tests
-------------------------------
error: Cannot find module './gone.ts'
-------------------------------


2 tests failed:
(fail) group > [F-01] bad [1.58ms]
(fail) group > slow [50.15ms]
  ^ this test timed out after 50ms.

 1 pass
 2 fail
`

test("every failed test is told with its file and its error, once", () => {
  expect(readFailures(OUTPUT)).toEqual([
    {
      file: "test/lib/a.test.ts",
      name: "group > [F-01] bad",
      lines: [
        "error: expect(received).toBe(expected)",
        "Expected: 2",
        "Received: 1",
        "      at <anonymous> (test/lib/a.test.ts:4:50)",
      ],
    },
    {
      file: "test/lib/a.test.ts",
      name: "group > slow",
      lines: ["  ^ this test timed out after 50ms."],
    },
    {
      file: "test/lib/b.test.ts",
      name: "an error outside of tests",
      lines: ["error: Cannot find module './gone.ts'"],
    },
  ])
})

test("a long error keeps its beginning and its place", () => {
  const diff = Array.from({ length: 100 }, (_, line) => `+ ${line}`).join("\n")
  const [failed] = readFailures(
    `test/a.test.ts:\nerror: differs\n${diff}\n      at a.test.ts:1:1\n(fail) a [1ms]\n`,
  )
  expect(failed!.lines).toHaveLength(12)
  expect(failed!.lines[0]).toBe("error: differs")
  expect(failed!.lines.at(-1)).toBe("      at a.test.ts:1:1")
})

test("of many failures the first are told, of the others how many", () => {
  const many = Array.from({ length: 25 }, (_, index) => ({ file: "a.test.ts", name: `${index}`, lines: [] }))
  const told = tellFailures(many).split("\n")
  expect(told).toHaveLength(22)
  expect(told[1]).toBe("(fail) a.test.ts: 0")
  expect(told.at(-1)).toBe("and 5 more")
  expect(tellFailures([])).toBe("")
})
