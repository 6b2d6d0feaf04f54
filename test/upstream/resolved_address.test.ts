import { describe, expect, test } from "bun:test"
import { parseAddress } from "../../src/upstream/address.ts"
import { Pool } from "../../src/upstream/pool.ts"
import { connectAuthority, keepResolved, NAME_TTL_MS } from "../../src/upstream/resolved_address.ts"
import { serviceConfig } from "../support/services.ts"

const METADATA = "169.254.169.254"

function make(answers: (readonly string[] | Error)[], url = "http://app.test:81") {
  let at = 0
  let lookups = 0
  const refused: (readonly string[])[] = []
  const address = keepResolved(parseAddress(url), {
    lookUp: async () => {
      const answer = answers[Math.min(lookups++, answers.length - 1)]!
      if (answer instanceof Error) throw answer
      return answer
    },
    now: () => at,
    onRefused: (addresses) => refused.push(addresses),
  })
  return {
    address,
    resolver: address.resolver!,
    refused,
    lookups: () => lookups,
    /** What would be connected to at this time, in order; or why nothing. */
    async addressesAt(ms: number): Promise<readonly string[] | string> {
      at = ms
      try {
        return await address.resolver!.addresses()
      } catch (error) {
        return (error as Error).message
      } finally {
        // A lookup beside comes back.
        await Bun.sleep(0)
      }
    },
  }
}

describe("[F-38] an instance with a name", () => {
  test("is looked up once per TTL, and again after it, beside the requests", async () => {
    const one = make([["192.0.2.1"], ["192.0.2.2"]])
    for (let ms = 0; ms < NAME_TTL_MS; ms += 1000) expect(await one.addressesAt(ms)).toEqual(["192.0.2.1"])
    expect(one.lookups()).toBe(1)
    expect(await one.addressesAt(NAME_TTL_MS)).toEqual(["192.0.2.1"])
    expect(await one.addressesAt(NAME_TTL_MS + 1)).toEqual(["192.0.2.2"])
    expect(one.lookups()).toBe(2)
  })

  test("has its addresses tried in turn, those that have not answered last", async () => {
    const one = make([["192.0.2.1", "192.0.2.2", "192.0.2.3"]])
    const first = async () => (await one.addressesAt(0))[0]
    expect([await first(), await first(), await first(), await first()]).toEqual([
      "192.0.2.1",
      "192.0.2.2",
      "192.0.2.3",
      "192.0.2.1",
    ])
    one.resolver.tried("192.0.2.2")
    expect(await one.addressesAt(0)).toEqual(["192.0.2.3", "192.0.2.1", "192.0.2.2"])
    one.resolver.answered("192.0.2.2")
    expect(await one.addressesAt(0)).toEqual(["192.0.2.3", "192.0.2.1", "192.0.2.2"])
    expect(await one.addressesAt(0)).toEqual(["192.0.2.1", "192.0.2.2", "192.0.2.3"])
  })

  test("keeps the addresses it had while the name server does not answer, and is looked up each second", async () => {
    const one = make([["192.0.2.1"], new Error("SERVFAIL")])
    await one.addressesAt(0)
    const later = NAME_TTL_MS + 5000
    for (const ms of [0, 1, 2]) expect(await one.addressesAt(later + ms)).toEqual(["192.0.2.1"])
    expect(one.lookups()).toBe(2)
    expect(await one.addressesAt(later + 1001)).toEqual(["192.0.2.1"])
    expect(one.lookups()).toBe(3)
  })

  test("that was never found is not connected to, and is looked up again a second later", async () => {
    const one = make([new Error("ENOTFOUND"), ["192.0.2.1"]])
    expect(await one.addressesAt(0)).toBe("looking up app.test: ENOTFOUND")
    expect(await one.addressesAt(999)).toBe("looking up app.test: ENOTFOUND")
    expect(one.lookups()).toBe(1)
    expect(await one.addressesAt(1000)).toEqual(["192.0.2.1"])
  })

  test("is never connected to at a link-local address, alone or among others, and that is told once", async () => {
    const one = make([["192.0.2.1", METADATA], ["fe80::1"], [METADATA], [METADATA], ["192.0.2.9"]])
    expect(await one.addressesAt(0)).toEqual(["192.0.2.1"])
    await one.addressesAt(NAME_TTL_MS)
    expect(await one.addressesAt(NAME_TTL_MS + 1)).toContain("fe80::1, which only the config may ask for")
    for (const second of [2, 3])
      expect(await one.addressesAt(NAME_TTL_MS + second * 1000)).toContain(`${METADATA}, which only`)
    expect(await one.addressesAt(NAME_TTL_MS + 4000)).toEqual(["192.0.2.9"])
    expect(one.refused).toEqual([[METADATA], ["fe80::1"], [METADATA]])
  })

  test("has its certificate verified against the name, whatever address is connected to", () => {
    const pool = { ...serviceConfig({ instances: ["https://app.test"] }).pool }
    const { address } = make([["192.0.2.1"]], "https://app.test")
    const made = new Pool(address, { pool, maxHeadBytes: 1024, tls: undefined }, () => 0)
    expect(made.tls).toEqual({ serverName: "app.test", rejectUnauthorized: true })
  })

  test("is only looked after when it is a name", () => {
    const urls = ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "unix:/tmp/a.sock"]
    for (const url of [...urls, `http://${METADATA}`]) {
      expect(make([new Error("asked")], url).address).toEqual(parseAddress(url))
    }
  })

  test("is given to WebSocket clients as an address of it; what is no name as it is", async () => {
    expect(await connectAuthority(make([["192.0.2.1"]]).address)).toBe("192.0.2.1:81")
    expect(await connectAuthority(make([["2001:db8::1"]], "https://app.test").address)).toBe(
      "[2001:db8::1]:443",
    )
    expect(await connectAuthority(parseAddress("http://127.0.0.1:81"))).toBe("127.0.0.1:81")
    expect(connectAuthority(make([[METADATA]]).address)).rejects.toThrow(METADATA)
  })
})
