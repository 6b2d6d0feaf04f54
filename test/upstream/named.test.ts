import { afterEach, describe, expect, test } from "bun:test"
import type { Asked } from "../../src/upstream/ask.ts"
import type { LookUp } from "../../src/upstream/resolved_address.ts"
import { memoryLog } from "../support/memory_log.ts"
import { OpenService } from "../support/open_service.ts"
import { closeAll, failure, listen, response } from "../support/pool_to.ts"
import { TestRequest } from "../support/upstream_request.ts"

const METADATA = "169.254.169.254"
const OK = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
const open: OpenService[] = []

const portOf = (upstream: { url: string }): number => Number(new URL(upstream.url).port)

afterEach(() => {
  for (const service of open.splice(0)) service.close()
  closeAll()
})

/** A service at `app.test`, which the given lookup finds. */
function named(port: number, lookUp: LookUp, pool: object = {}) {
  const log = memoryLog()
  let at = 1_000_000
  const service = new OpenService(
    { instances: [`http://app.test:${port}`], pool: { max_idle: 0, ...pool } },
    { lookUp, log, now: () => at },
  )
  open.push(service)
  return {
    log,
    /** One request on a new connection. */
    ask: (): Promise<Asked> => service.service.instances[0]!.pool.ask(new TestRequest()).result,
    pass: (ms: number) => {
      at += ms
    },
  }
}

describe("[F-38] a request to a named instance", () => {
  test("goes to the address the lookup found", async () => {
    const upstream = listen((connection) => connection.write(OK))
    const { ask } = named(portOf(upstream), async () => ["127.0.0.1"])
    expect(response(await ask()).status).toBe(200)
  })

  test("goes to the next address when the first refuses", async () => {
    const upstream = listen((connection) => connection.write(OK))
    const { ask } = named(portOf(upstream), async () => ["127.1.1.1", "127.0.0.1"])
    expect(response(await ask()).status).toBe(200)
  })

  test("fails to connect when the name does not exist", async () => {
    const { ask } = named(80, () => Promise.reject(new Error("ENOTFOUND")))
    expect(failure(await ask())).toMatchObject({
      reason: "connect",
      cause: "looking up app.test: ENOTFOUND",
    })
  })

  test("fails at the connect timeout when the lookup is slow, and nothing waits for it longer", async () => {
    const never = new Promise<readonly string[]>(() => {})
    const { ask, pass } = named(80, () => never, { connect_timeout: "1s" })
    const asked = ask()
    pass(1001)
    expect(failure(await asked).reason).toBe("connect_timeout")
  })

  test("fails when the name has flipped to a link-local address: no connection is tried, and it is logged", async () => {
    const upstream = listen((connection) => connection.write(OK))
    const answers = [["127.0.0.1"], [METADATA]]
    const { ask, pass, log } = named(portOf(upstream), async () => answers.shift() ?? [METADATA])
    expect(response(await ask()).status).toBe(200)
    pass(30_000)
    expect(response(await ask()).status).toBe(200)
    for (let i = 0; i < 5; i++) {
      pass(10_000)
      expect(failure(await ask())).toMatchObject({ reason: "connect", sent: false })
    }
    expect(upstream.connections.length).toBe(2)
    expect(log.events).toEqual([
      {
        level: "error",
        event: "instance.address_refused",
        fields: { service: "s", instance: `http://app.test:${portOf(upstream)}`, addresses: [METADATA] },
      },
    ])
  })

  test("asks nobody else for the name: an answer that changes between two lookups cannot slip in", async () => {
    const upstream = listen((connection) => connection.write(OK))
    let lookups = 0
    const { ask } = named(portOf(upstream), async () => (lookups++ === 0 ? ["127.0.0.1"] : [METADATA]))
    // The system's resolver knows no app.test: each of these would fail if it were asked.
    for (let i = 0; i < 5; i++) expect(response(await ask()).status).toBe(200)
    expect(lookups).toBe(1)
  })
})
