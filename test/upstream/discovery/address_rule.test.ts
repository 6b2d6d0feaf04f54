import { expect, test } from "bun:test"
import { AddressRule } from "../../../src/upstream/discovery/address_rule.ts"

const BAD = [
  "127.0.0.1",
  "0x7f.1",
  "2130706433",
  "127.1",
  "0.0.0.0",
  "[::1]",
  "[::]",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "[::127.0.0.1]",
  "[64:ff9b::127.0.0.1]",
  "[64:ff9b:1::7f00:1]",
  "[2002:7f00:1::]",
  "[2002:a9fe:a9fe::1]",
  "[2002::1]",
  "[2002:e000:1::]",
  "[fd20:ce::254]",
  "localhost",
  "localhost.",
  "a.localhost",
  "169.254.169.254",
  "[::ffff:169.254.169.254]",
  "[fe80::1]",
  "[fd00:ec2::254]",
  "168.63.129.16",
  "100.100.100.200",
  "224.0.0.1",
  "255.255.255.255",
  "[ff02::1]",
]

test.each(BAD)("[F-69] a source may not name %s", (host) => {
  expect(new AddressRule([]).problem(`http://${host}:8001`)).toContain("discovery.allow")
})

test("[F-69] private and public addresses and names may be named", () => {
  const rule = new AddressRule([])
  for (const host of ["10.0.0.1", "192.168.1.1", "8.8.8.8", "[fd00::1]", "app.internal"])
    expect(rule.problem(`http://${host}:8001`)).toBeUndefined()
})

test("[F-69] sockets, other schemes, paths and credentials may not be named", () => {
  const rule = new AddressRule(["0.0.0.0/0"])
  for (const url of [
    "unix:/run/app.sock",
    "file:///etc/passwd",
    "gopher://10.0.0.1:70",
    "http://u:p@10.0.0.1:80",
  ])
    expect(rule.problem(url)).toBeString()
  expect(rule.problem("http://10.0.0.1:80/path")).toBeString()
})

test("[F-69] what discovery.allow lists may be named, and nothing beside it", () => {
  const rule = new AddressRule(["127.0.0.0/8", "169.254.10.0/24"])
  expect(rule.problem("http://127.0.0.1:8001")).toBeUndefined()
  expect(rule.problem("http://localhost:8001")).toBeUndefined()
  expect(rule.problem("http://169.254.10.7:8001")).toBeUndefined()
  expect(rule.problem("http://169.254.169.254:80")).toBeString()
  expect(rule.problem("http://[::1]:80")).toBeString()
})

test("[F-69] what a found name leads to is refused by the same rule when it is connected to", () => {
  const rule = new AddressRule([])
  for (const address of ["127.0.0.1", "::1", "169.254.169.254", "::ffff:7f00:1", "0.0.0.0"])
    expect(rule.refuses(address)).toBe(true)
  expect(rule.refuses("10.0.0.1")).toBe(false)
})
