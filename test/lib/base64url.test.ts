import { expect, test } from "bun:test"
import fc from "fast-check"
import { decodeBase64url } from "../../src/lib/base64url.ts"

test("what was encoded is decoded", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const decoded = decodeBase64url(Buffer.from(bytes).toString("base64url"))
      expect(Buffer.from(decoded!).equals(bytes)).toBe(true)
    }),
  )
})

test("only the one spelling an encoder makes is accepted", () => {
  const letters = fc.constantFrom(..."AZaz09-_QgwEB+/= \n\té", "Ł", "\ud800")
  fc.assert(
    fc.property(fc.string({ unit: letters, maxLength: 12 }), (text) => {
      const canonical = Buffer.from(text, "base64url").toString("base64url") === text
      expect(decodeBase64url(text) !== undefined).toBe(canonical)
    }),
    { numRuns: 5000 },
  )
})

for (const text of [
  "A",
  "AA=",
  "AA==",
  "AB",
  "AAB",
  "A A A",
  "AAA\n",
  "++++",
  "AAA/",
  "AAAAA",
  "ŁAAA",
  "AA.A",
])
  test(`${JSON.stringify(text)} is refused`, () => {
    expect(decodeBase64url(text)).toBeUndefined()
  })
