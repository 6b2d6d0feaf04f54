import { expect, test } from "bun:test"
import { Compile } from "typebox/compile"
import { AddressRule } from "../../../src/upstream/discovery/address_rule.ts"
import {
  parseShared,
  RegistrationSchema,
  toRegistered,
  toShared,
} from "../../../src/upstream/discovery/registration.ts"
import { NO_RULE, registered } from "../../support/registered.ts"

const validator = Compile(RegistrationSchema)
const BASE = { service_name: "context", host: "10.0.0.1", port: 8001 }

/** What is wrong with the request: its shape, or one field. */
function problem(changes: object, rule = NO_RULE, client = "10.0.0.9"): string {
  const request = { ...BASE, ...changes }
  if (!validator.Check(request)) return "shape"
  const made = toRegistered(request, { client, rule, at: 0 })
  return made.kind === "unfit" ? made.field : ""
}

test("[T-1.4] the registration of the sources is taken as it stands there", () => {
  const made = registered({
    service_name: "context_service",
    host: "context-service",
    port: 8001,
    check_endpoint: "/health",
    check_interval: 30,
  })
  expect(made).toMatchObject({
    service: "context_service",
    url: "http://context-service:8001",
    check: { path: "/health", interval: 30_000 },
    ttlMs: 0,
    weight: 1,
    draining: false,
  })
})

test("[T-1.4] without a check and without a TTL an instance has 30s; with a check it stays", () => {
  expect(registered().ttlMs).toBe(30_000)
  expect(registered({ check_endpoint: "/health" }).ttlMs).toBe(0)
  expect(registered({ check_endpoint: "/health", ttl: "1m" }).ttlMs).toBe(60_000)
})

test("[T-1.4] without a host it is the caller's own address", () => {
  const { host, ...rest } = BASE
  const made = toRegistered(rest, { client: "2001:db8::7", rule: NO_RULE, at: 0 })
  expect(made).toMatchObject({ kind: "instance", instance: { url: "http://[2001:db8::7]:8001" } })
  const own = toRegistered(rest, { client: "127.0.0.1", rule: NO_RULE, at: 0 })
  expect(own).toMatchObject({ kind: "unfit", field: "/host" })
})

test("[F-69] loopback, link-local and metadata addresses are refused however they are written", () => {
  const hosts = [
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "2130706433",
    "017700000001",
    "0.0.0.0",
    "0",
    "169.254.169.254",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "::1",
    "[::1]",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "224.0.0.1",
  ]
  expect(hosts.filter((host) => problem({ host }) !== "/host")).toEqual([])
})

test("[F-69] what is no host at all is refused", () => {
  const hosts = [
    "",
    " ",
    "a b",
    "a\tb",
    "a/b",
    "a@b",
    "http://a",
    "file:",
    "a:80",
    "a#b",
    "a?b",
    "a%2fb",
    "fe80::1%eth0",
    "[a]",
    "a..b",
    ".a",
    "-a",
    "ä.example",
    "a\u0000",
    "x".repeat(254),
    "1.2.3.4.5",
    "999.1.1.1",
  ]
  expect(hosts.filter((host) => problem({ host }) === "")).toEqual([])
})

test("[F-69] what the operator allows is taken", () => {
  const rule = new AddressRule(["127.0.0.0/8"])
  expect(problem({ host: "127.0.0.1" }, rule)).toBe("")
  expect(problem({ host: "localhost" }, rule)).toBe("")
  expect(problem({ host: "::1" }, rule)).toBe("/host")
})

test("[T-1.4] fields out of bounds are refused", () => {
  const wrong: object[] = [
    { port: 0 },
    { port: 65_536 },
    { port: 80.5 },
    { port: "8001" },
    { service_name: "" },
    { service_name: "Context" },
    { service_name: "a b" },
    { service_name: "../x" },
    { service_name: "x".repeat(64) },
    { service_name: "a\n" },
    { scheme: "ftp" },
    { weight: 0 },
    { weight: 257 },
    { tags: ["a b"] },
    { tags: Array.from({ length: 33 }, (_, i) => `t${i}`) },
    { zone: "x".repeat(65) },
    { check_endpoint: "health" },
    { check_endpoint: "/a b" },
    { check_endpoint: "/a\r\nx: y" },
    { check_interval: 0 },
    { check_interval: "2h" },
    { check_interval: "soon" },
    { ttl: 0 },
    { ttl: "4s" },
    { ttl: "61m" },
    { ttl: "soon" },
    { ttl: -1 },
    { depends_on: ["users", "users"] },
    { depends_on: ["context"] },
    { depends_on: [{ service: "users", kind: "firm" }] },
    { nonsense: 1 },
  ]
  expect(wrong.filter((changes) => problem(changes) === "")).toEqual([])
  expect(problem({ ttl: "5s" })).toBe("")
  expect(problem({ ttl: "1h", depends_on: ["users", { service: "mail", kind: "soft" }] })).toBe("")
})

test("[T-1.4] the same service, host and port is the same instance however it is written", () => {
  const id = registered({ host: "10.0.0.1" }).id
  expect(registered({ host: "0xa.1", weight: 7 }).id).toBe(id)
  expect(registered({ port: 8002 }).id).not.toBe(id)
  expect(registered({ service_name: "intent" }).id).not.toBe(id)
})

test("[T-1.4] what gateways write for each other is read as it was", () => {
  for (const instance of [
    registered({ check_endpoint: "/health", depends_on: ["users"], tags: ["a"], zone: "z", version: "1.2" }),
    registered({ ttl: 10, scheme: "https", host: "2001:db8::7" }),
  ])
    expect(parseShared(instance.id, toShared(instance), false)).toEqual(instance)
})

test("[F-69] what is written between gateways by others is left out", () => {
  const good = registered()
  const text = toShared(good)
  const forged = (changes: object): string => JSON.stringify({ ...JSON.parse(text), ...changes })
  const wrong = [
    "",
    "null",
    "[]",
    "{",
    forged({ url: "http://10.0.0.2:8001" }),
    forged({ url: "http://10.0.0.1:8001/" }),
    forged({ url: "unix:/run/x.sock" }),
    forged({ service: "Bad Name" }),
    forged({ ttlMs: 1 }),
    forged({ weight: 1e9 }),
    forged({ extra: 1 }),
    text.padEnd(9000, " "),
  ]
  expect(wrong.filter((each) => parseShared(good.id, each, false) !== undefined)).toEqual([])
  expect(parseShared("0000000000000000", text, false)).toBeUndefined()
})
