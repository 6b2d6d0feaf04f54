import { expect, test } from "bun:test"
import { parseAddress } from "../../src/upstream/address.ts"

test.each([
  ["http://127.0.0.1:8001", { hostname: "127.0.0.1", port: 8001 }, false, "127.0.0.1:8001"],
  ["http://Service.Local", { hostname: "service.local", port: 80 }, false, "service.local"],
  ["https://service.local/", { hostname: "service.local", port: 443 }, true, "service.local"],
  ["https://service.local:8443", { hostname: "service.local", port: 8443 }, true, "service.local:8443"],
  ["http://[::1]:8080", { hostname: "::1", port: 8080 }, false, "[::1]:8080"],
  ["unix:/run/app.sock", { unix: "/run/app.sock" }, false, "localhost"],
])("%s is an address", (url, target, tls, authority) => {
  expect(parseAddress(url)).toMatchObject({ target, tls, authority })
})

test("equal addresses have equal texts", () => {
  expect(parseAddress("http://A.test").text).toBe(parseAddress("http://a.test:80/").text)
})

test.each([
  "127.0.0.1:80",
  "ftp://a",
  "http://",
  "http:///a",
  "http://a:99999",
  "http://a:0",
  "http://a b",
  "http://a/path",
  "http://a/?q",
  "http://a/#f",
  "http://user:secret@a",
  "unix:relative.sock",
  "unix:",
  `unix:/${"a".repeat(107)}`,
  "unix:/a\0b",
])("%j is refused with what would do, and no secret in the message", (url) => {
  expect(() => parseAddress(url)).toThrow("expected http://host:port, https://host:port or unix:/path")
  expect(() => parseAddress(url)).not.toThrow("secret")
})
