import { expect, test } from "bun:test"
import { parseStoreUrl } from "../../src/store/store_url.ts"

for (const [text, file] of [
  ["sqlite:./gatehouse.db", "./gatehouse.db"],
  ["sqlite:gatehouse.db", "gatehouse.db"],
  ["sqlite:/var/lib/gatehouse.db", "/var/lib/gatehouse.db"],
  ["sqlite:///var/lib/gatehouse.db", "/var/lib/gatehouse.db"],
  ["sqlite::memory:", ":memory:"],
])
  test(`${text} is ${file}`, () => {
    expect(parseStoreUrl(text!)).toEqual({ kind: "sqlite", file: file! })
  })

for (const url of [
  "postgres://gate:a%40b@db.internal:5432/gate",
  "postgresql://localhost/gate?sslmode=require",
])
  test(`${url} is PostgreSQL`, () => {
    expect(parseStoreUrl(url)).toEqual({ kind: "postgres", url })
  })

for (const text of [
  "",
  "gatehouse.db",
  "sqlite:",
  "sqlite://host/gatehouse.db",
  "mysql://hunter2@host/gate",
  "postgres://gate:hunter2@host",
  "postgres://gate:hunter2@host/",
  "postgres://gate:hunter2/@host:x/gate",
])
  test(`"${text}" is refused, without its password`, () => {
    const problem = parseStoreUrl(text)
    expect(problem).toBeString()
    expect(problem).not.toContain("hunter2")
  })
