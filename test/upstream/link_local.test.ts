import { expect, test } from "bun:test"
import { isLinkLocal } from "../../src/upstream/link_local.ts"

test("[F-38] link-local addresses and metadata services are known in every spelling", () => {
  for (const address of [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "febf:ffff::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "0:0:0:0:0:ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "fd00:ec2::254",
  ])
    expect([address, isLinkLocal(address)]).toEqual([address, true])
})

test("other addresses, loopback and private ones too, are not", () => {
  for (const address of [
    "127.0.0.1",
    "10.0.0.1",
    "169.253.0.1",
    "169.255.0.1",
    "::1",
    "fec0::1",
    "fd00::1",
    "::ffff:10.0.0.1",
  ])
    expect([address, isLinkLocal(address)]).toEqual([address, false])
})
