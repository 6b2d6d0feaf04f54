import { describe, expect, test } from "bun:test"
import { parseAddress } from "../../src/upstream/address.ts"
import { Pool } from "../../src/upstream/pool.ts"
import { keepResolved, NAME_TTL_MS } from "../../src/upstream/resolved_address.ts"
import { serviceConfig } from "../support/services.ts"

const NAME = { hostname: "app.test", port: 81 }

describe("[F-38] an instance with a name", () => {
  function make(answers: (readonly string[] | Error)[]) {
    let at = 0
    let lookups = 0
    const address = keepResolved(
      parseAddress("http://app.test:81"),
      async () => {
        const answer = answers[Math.min(lookups++, answers.length - 1)]!
        if (answer instanceof Error) throw answer
        return answer
      },
      () => at,
    )
    return {
      address,
      lookups: () => lookups,
      /** What is connected to at this time, once lookups have come back. */
      async targetAt(ms: number) {
        at = ms
        const { target } = address
        await Promise.resolve().then(() => Promise.resolve())
        return target
      },
    }
  }

  test("is looked up once per TTL, and again after it", async () => {
    const one = make([["192.0.2.1"], ["192.0.2.2"]])
    for (let ms = 0; ms < NAME_TTL_MS; ms += 1000) expect(await one.targetAt(ms)).toEqual(NAME)
    expect(one.lookups()).toBe(1)
    await one.targetAt(NAME_TTL_MS)
    expect(one.lookups()).toBe(2)
    expect(await one.targetAt(NAME_TTL_MS + 1)).toEqual(NAME)
  })

  test("keeps the addresses it had, in turn, while the name server does not answer", async () => {
    const one = make([["192.0.2.1", "192.0.2.2"], new Error("SERVFAIL")])
    await one.targetAt(0)
    const later = NAME_TTL_MS + 5000
    const seen = [await one.targetAt(later), await one.targetAt(later + 1), await one.targetAt(later + 2)]
    expect(seen).toEqual(["192.0.2.1", "192.0.2.2", "192.0.2.1"].map((hostname) => ({ hostname, port: 81 })))
    expect(one.lookups()).toBe(2)
    await one.targetAt(later + 1001)
    expect(one.lookups()).toBe(3)
  })

  test("has its certificate verified against the name, whatever address is connected to", () => {
    const lookUp = () => Promise.resolve(["192.0.2.1"])
    const pool = { ...serviceConfig({ instances: ["https://app.test"] }).pool }
    const address = keepResolved(parseAddress("https://app.test"), lookUp, () => 0)
    const made = new Pool(address, { pool, maxHeadBytes: 1024, tls: undefined }, () => 0)
    expect(made.tls).toEqual({ serverName: "app.test", rejectUnauthorized: true })
  })

  test("is left to the runtime when it was never found", async () => {
    const one = make([new Error("ENOTFOUND")])
    expect(await one.targetAt(0)).toEqual(NAME)
    expect(await one.targetAt(5000)).toEqual(NAME)
  })

  test("is only looked after when it is a name", () => {
    for (const url of ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "unix:/tmp/a.sock"]) {
      const address = parseAddress(url)
      expect(
        keepResolved(
          address,
          () => Promise.reject(new Error("asked")),
          () => 0,
        ),
      ).toBe(address)
    }
  })
})
