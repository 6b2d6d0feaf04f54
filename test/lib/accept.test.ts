import { expect, test } from "bun:test"
import fc from "fast-check"
import { negotiateEncoding, negotiateType, parseMediaType, prefersProblemJson } from "../../src/lib/accept.ts"

const offer = (...types: string[]) => types.map((type) => parseMediaType(type)!)
const choose = (accept: string | undefined, ...types: string[]) =>
  negotiateType(accept, offer(...types))?.name

test("[T-2.5] without Accept, or with one that says nothing, the first type offered is taken", () => {
  for (const accept of [undefined, "*/*", "", " ", ",,", "nonsense"])
    expect(choose(accept, "application/json", "text/csv")).toBe("application/json")
})

test("[T-2.5] weights decide, and the order offered among equals", () => {
  expect(choose("text/csv;q=0.9, application/json;q=0.5", "application/json", "text/csv")).toBe("text/csv")
  expect(choose("text/csv, application/json", "application/json", "text/csv")).toBe("application/json")
})

test("[T-2.5] the most exact range gives a type its weight (RFC 9110 section 12.5.1)", () => {
  const accept = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, */*;q=0.5"
  const q = (type: string, other: string) => choose(accept, type, other)
  expect(q("text/plain;format=flowed", "text/plain")).toBe("text/plain;format=flowed")
  expect(q("text/plain", "image/jpeg")).toBe("text/plain")
  expect(q("text/html", "image/jpeg")).toBe("image/jpeg")
  expect(choose("application/json;q=0, */*", "application/json")).toBeUndefined()
})

test("[T-2.5] nothing is chosen when nothing offered is acceptable", () => {
  expect(choose("text/html", "application/json")).toBeUndefined()
  expect(choose("application/*;q=0", "application/json")).toBeUndefined()
  expect(choose("application/json;version=2", "application/json")).toBeUndefined()
})

test("[T-2.5] names are taken in any case, charset is ignored and quotes may hold commas", () => {
  expect(choose("Application/JSON; Charset=utf-8", "application/json")).toBe("application/json")
  expect(choose('text/x;a="b,c;q=0";q=0.1, text/y;q=0.5', 'text/x;a="b,c;q=0"', "text/y")).toBe("text/y")
})

test("[T-2.5] members that are malformed are left out and the others count", () => {
  expect(choose("text/csv;q=2, application/json;q=0.1", "text/csv", "application/json")).toBe(
    "application/json",
  )
  expect(choose("/, */x/, ;;;, text/csv", "text/csv")).toBe("text/csv")
})

test("no header text makes negotiation fail or choose what is not on offer", () => {
  const types = offer("application/json", "text/csv")
  const unit = fc.constantFrom(...'ajt/*;=q01.," \\+')
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 60 }), (accept) => {
      const chosen = negotiateType(accept, types)
      expect(chosen === undefined || types.includes(chosen)).toBe(true)
      negotiateEncoding(accept, ["gzip", "br"])
      prefersProblemJson(accept)
    }),
  )
})

test("[T-2.3] problem+json is preferred only where it is named and not outweighed", () => {
  expect(prefersProblemJson("application/problem+json")).toBe(true)
  expect(prefersProblemJson("application/json, application/problem+json")).toBe(true)
  expect(prefersProblemJson("application/json;q=0.5, application/problem+json;q=0.9")).toBe(true)
  expect(prefersProblemJson("application/problem+json;q=0.5, */*")).toBe(false)
  expect(prefersProblemJson("application/problem+json;q=0")).toBe(false)
  expect(prefersProblemJson("*/*")).toBe(false)
  expect(prefersProblemJson("application/json")).toBe(false)
  expect(prefersProblemJson(undefined)).toBe(false)
})

test("[C-1.7] Accept-Encoding: weights, wildcards, exclusion and identity (RFC 9110 section 12.5.3)", () => {
  const encoding = (header: string | undefined) => negotiateEncoding(header, ["zstd", "br", "gzip"])
  expect(encoding("gzip, br")).toBe("br")
  expect(encoding("gzip;q=0.8, br;q=0.3")).toBe("gzip")
  expect(encoding("*")).toBe("zstd")
  expect(encoding("*, zstd;q=0")).toBe("br")
  expect(encoding("x-gzip")).toBe("gzip")
  expect(encoding("GZIP")).toBe("gzip")
  expect(encoding("*;q=0")).toBeUndefined()
  expect(encoding("identity;q=1, gzip;q=0.5")).toBeUndefined()
  expect(encoding("identity;q=0.5, gzip;q=0.5")).toBe("gzip")
  expect(encoding(undefined)).toBeUndefined()
})
