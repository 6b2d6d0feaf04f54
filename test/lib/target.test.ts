import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { canonicalHost, canonicalPath } from "../../src/lib/target.ts"

const path = (raw: string) => canonicalPath(raw)?.path
const ambiguous = (raw: string) => canonicalPath(raw)?.ambiguous

describe("canonicalPath", () => {
  test("[F-55] spellings of one path have one canonical form", () => {
    const spellings = [
      "/admin/x",
      "//admin/x",
      "/admin//x",
      "/./admin/x",
      "/a/../admin/x",
      "/%61dmin/x",
      "/a/%2e%2e/admin/x",
      "/%2E/admin/x",
    ]
    for (const spelling of spellings) expect(path(spelling)).toBe("/admin/x")
  })

  test("[F-55] what two readers could take differently is marked", () => {
    for (const raw of [
      "/a%2Fb",
      "/a%2fb",
      "/a%5Cb",
      "/a;b",
      "/a/..;/b",
      "/a%3Bb",
      "/%252e%252e/admin",
      "/a%252Fb",
    ]) {
      expect(ambiguous(raw)).toBe(true)
    }
    for (const raw of ["/a%20b", "/caf%C3%A9", "/100%25", "/a%25zz"]) expect(ambiguous(raw)).toBe(false)
  })

  test("[F-10] [F-55] malformed paths have no canonical form", () => {
    const bad = [
      "",
      "a",
      "*",
      "/%",
      "/%4",
      "/%zz",
      "/%00",
      "/a%0d%0ab",
      "/%7f",
      "/%ff",
      "/%c0%af",
      "/%ed%a0%80",
      "/a\u0000b",
      "/a b",
      "/a#b",
      "/é",
      "/%EF%BF%BD",
      "/a\\b",
    ]
    for (const raw of bad) expect(path(raw)).toBeUndefined()
  })

  test("escapes that must stay are written in upper case, others are decoded once", () => {
    expect(path("/%7euser/%41%2d%5f%c3%a9%3f")).toBe("/~user/A-_%C3%A9%3F")
    expect(path("/100%25")).toBe("/100%25")
  })

  test("dot segments at the ends keep their slash and never climb out", () => {
    expect(path("/a/b/..")).toBe("/a/")
    expect(path("/a/.")).toBe("/a/")
    expect(path("/../../x")).toBe("/x")
    expect(path("/..")).toBe("/")
    expect(path("//")).toBe("/")
    expect(path("/.../x")).toBe("/.../x")
    expect(path("/.well-known/x")).toBe("/.well-known/x")
  })

  test("[F-55] is the same whether or not the runtime has taken dot segments out before", () => {
    expect(path("/a//b//../c")).toBe("/a/b/c")
    const piece = fc.constantFrom("a", "b", "/", "//", ".", "..", "%2e", "%2E.")
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const raw = `/${pieces.join("")}`
        return path(raw) === path(new URL(`http://a.example${raw}`).pathname)
      }),
      { numRuns: 3000 },
    )
  })

  test("[F-55] is idempotent, and never yields a dot segment or an empty one", () => {
    const piece = fc.constantFrom(
      "a",
      "B",
      "/",
      "//",
      ".",
      "..",
      "%2e",
      "%2E",
      "%2f",
      "%25",
      "%41",
      ";",
      "~",
      "%c3%a9",
      "%5c",
      "-",
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const once = canonicalPath(`/${pieces.join("")}`)
        if (once === undefined) return true
        const segments = once.path.split("/").slice(1)
        const clean = segments.every(
          (s, i) => s !== "." && s !== ".." && (s !== "" || i === segments.length - 1),
        )
        return clean && canonicalPath(once.path)?.path === once.path
      }),
      { numRuns: 3000 },
    )
  })
})

describe("canonicalHost", () => {
  test("[F-11] names, addresses and ports are accepted and lowered", () => {
    expect(canonicalHost("API.Example.com:8080")).toBe("api.example.com:8080")
    expect(canonicalHost("x")).toBe("x")
    expect(canonicalHost("127.0.0.1:80")).toBe("127.0.0.1:80")
    expect(canonicalHost("[::1]:8080")).toBe("[::1]:8080")
    expect(canonicalHost("example.com.")).toBe("example.com.")
  })

  test("[F-11] [F-56] empty, doubled and malformed hosts are refused", () => {
    const bad = [
      "",
      "a b",
      "a, b",
      "u:p@h",
      "x/..",
      "a\\b",
      "a:b",
      "a:99999",
      "a:1:2",
      "..",
      "a..b",
      "[::1",
      "é.com",
      "-a.com",
      "a?b",
      "a#b",
      "%41.com",
    ]
    for (const host of bad) expect(canonicalHost(host)).toBeUndefined()
  })
})
