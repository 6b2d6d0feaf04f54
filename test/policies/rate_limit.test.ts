import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import type { Principal } from "../../src/identity/principal.ts"
import { type Priority, type PriorityClass, priorityOf } from "../../src/observe/priority.ts"
import type { Failure } from "../../src/policies/failure.ts"
import { LimitLog } from "../../src/policies/limit_log.ts"
import type { PolicyRoute } from "../../src/policies/policy.ts"
import { rateLimit } from "../../src/policies/rate_limit.ts"
import { createLimitMemory, LimitTable } from "../../src/store/limit_table.ts"
import { ChunkSource } from "../support/body.ts"
import { type ExchangeParts, makeAnswer, makeExchange } from "../support/exchange.ts"
import { FakeTime } from "../support/fake_time.ts"
import { makeLimits } from "../support/limits.ts"
import { memoryLog } from "../support/memory_log.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"
import { makePrincipal } from "../support/principal.ts"

interface Asked extends ExchangeParts {
  readonly priority?: Priority
  readonly caller?: Partial<Principal>
  readonly client?: string
}

/** One or more routes that share a table and a clock which stands still until it is moved. */
function open() {
  const fake = new FakeTime()
  fake.pass(3_600_000)
  const time = {
    get nowMs() {
      return fake.now()
    },
    set nowMs(ms) {
      fake.pass(ms - fake.now())
    },
  }
  const log = memoryLog()
  const counted: Record<string, number> = {}
  const count = (what: string) => () => {
    counted[what] = (counted[what] ?? 0) + 1
  }
  const limits = makeLimits({
    table: new LimitTable(createLimitMemory(1000)),
    log: new LimitLog(log, () => time.nowMs),
    after: fake.after,
    counter: (limit) => ({
      allowed: count(`${limit} allowed`),
      refused: count(`${limit} refused`),
      shadowed: count(`${limit} shadowed`),
      queued: count(`${limit} queued`),
      overflowed: count(`${limit} overflowed`),
    }),
  })
  return {
    time,
    counted,
    lines: log.events,
    route(options: object, route: Partial<PolicyRoute> = {}) {
      const steps = compilePolicy(rateLimit, options, { limits, now: () => time.nowMs }, route)
      const ask = ({ caller, client, priority, ...parts }: Asked = {}) => {
        const exchange = makeExchange(parts)
        if (priority !== undefined) exchange.priority = priority
        if (caller !== undefined) exchange.principal = makePrincipal(caller)
        if (client !== undefined) exchange.client = client
        const failure = steps.request!(exchange) as Failure | undefined
        exchange.answer = makeAnswer()
        return {
          exchange,
          failure,
          passed: failure === undefined,
          header: (name: string) => exchange.responseHeader(name),
        }
      }
      /** How many of so many requests pass. */
      const passed = (times: number, asked: Asked | ((i: number) => Asked) = {}) => {
        let count = 0
        for (let i = 0; i < times; i++)
          if (ask(typeof asked === "function" ? asked(i) : asked).passed) count++
        return count
      }
      return { ask, passed, steps }
    },
  }
}

/** One route of its own. */
const one = (options: object, route: Partial<PolicyRoute> = {}) => open().route(options, route)

describe("who shares a bucket", () => {
  test("[T-5.1 C-6.1 I-rl] 10 a second with a burst of 20, for each user", () => {
    const { time, route } = open()
    const { passed } = route({ by: "user", rate: "10/s", burst: 20 })
    const ann = { caller: { id: "ann" } }
    expect(passed(30, ann)).toBe(20)
    expect(passed(30, { caller: { id: "bob" } })).toBe(20)
    time.nowMs += 1000
    expect(passed(30, ann)).toBe(10)
  })

  test("[T-5.1 C-6.1] 100 a minute come at once, then one each 600 ms", () => {
    const { time, route } = open()
    const { passed } = route({ rate: "100/min" })
    expect(passed(200, { caller: {} })).toBe(100)
    time.nowMs += 599
    expect(passed(2, { caller: {} })).toBe(0)
    time.nowMs += 1
    expect(passed(2, { caller: {} })).toBe(1)
  })

  test("[F-60] a user with two keys or tokens has one bucket, wherever it comes from", () => {
    const { passed } = one({ by: "user", rate: "4/h" })
    const found = passed(8, (i) => ({
      caller: { id: "ann", method: i % 2 === 0 ? "jwt" : "api_key", tokenId: `t${i}` },
      client: `192.0.2.${i}`,
    }))
    expect(found).toBe(4)
  })

  test("[F-60] nobody uses up another's limit: same id at another issuer, or a service of that name", () => {
    const { passed } = one({ by: "user", rate: "1/h" })
    const asked = [
      { id: "7" },
      { id: "7", issuer: "https://other.example" },
      { id: "7", kind: "service" as const },
    ]
    expect(passed(3, (i) => ({ caller: asked[i]! }))).toBe(3)
    expect(passed(3, (i) => ({ caller: asked[i]! }))).toBe(0)
  })

  test("[C-6.2 V-rl.1] callers nobody knows are told apart by address", () => {
    const { passed } = one({ by: "user", rate: "2/h" })
    expect(passed(5, { client: "192.0.2.1" })).toBe(2)
    expect(passed(5, { client: "192.0.2.2" })).toBe(2)
    expect(passed(5, { caller: { id: "192.0.2.2" }, client: "192.0.2.2" })).toBe(2)
  })

  test("[C-6.2 V-rl.1] by ip, whoever is behind the address", () => {
    const { passed } = one({ by: "ip", rate: "3/h" })
    expect(passed(6, (i) => ({ client: "192.0.2.1", caller: { id: `u${i}` } }))).toBe(3)
  })

  test("[F-60 C-6.2] addresses of one IPv6 /64 are one client, and IPv4 within IPv6 is IPv4", () => {
    const { passed } = one({ by: "ip", rate: "3/h" })
    expect(passed(50, (i) => ({ client: `2001:db8:1:2::${i.toString(16)}` }))).toBe(3)
    expect(passed(5, { client: "2001:0DB8:1:2:ffff::" })).toBe(0)
    expect(passed(5, { client: "2001:db8:1:3::1" })).toBe(3)
    expect(passed(2, { client: "::ffff:192.0.2.9" })).toBe(2)
    expect(passed(2, { client: "192.0.2.9" })).toBe(1)
  })

  test("[F-60] headers clients may forge do not change whose bucket it is", () => {
    const { passed } = one({ by: "ip", rate: "3/h" })
    const found = passed(20, (i) => ({
      client: "192.0.2.1",
      headers: [
        [i % 2 === 0 ? "X-Forwarded-For" : "x-forwarded-for", `198.51.100.${i}`],
        ["X-Real-IP", `198.51.100.${i}`],
        ["Forwarded", `for=198.51.100.${i}`],
        ["X-User-Id", `u${i}`],
      ],
    }))
    expect(found).toBe(3)
  })

  test("[C-6.1] by api_key: each key has its own; other callers count as users", () => {
    const { passed } = one({ by: "api_key", rate: "2/h" })
    const key = (tokenId: string) => ({ caller: { id: "ann", method: "api_key" as const, tokenId } })
    expect(passed(4, key("k1"))).toBe(2)
    expect(passed(4, key("k2"))).toBe(2)
    expect(passed(4, (i) => ({ caller: { id: "ann", tokenId: `jti${i}` } }))).toBe(2)
  })

  test("[C-6.1 V-rl.4b] by route: one bucket for everybody, each route its own", () => {
    const { route } = open()
    const options = { by: "route", rate: "3/h", scope: "global", name: "all" }
    const a = route(options, { label: "/a" })
    const b = route(options, { label: "/b" })
    expect(a.passed(5, (i) => ({ caller: { id: `u${i}` } }))).toBe(3)
    expect(b.passed(5)).toBe(3)
  })

  test("[C-6.3] by tier: all callers of a tier together, those nobody knows together too", () => {
    const { passed } = one({ by: "tier", rate: "3/h" })
    expect(passed(5, (i) => ({ caller: { id: `u${i}`, tier: "free" } }))).toBe(3)
    expect(passed(5, { caller: { tier: "premium" } })).toBe(3)
    expect(passed(5, (i) => ({ client: `192.0.2.${i}` }))).toBe(3)
  })

  test("[C-6.1] by header, whose name's case is nothing; without it by address", () => {
    const { passed } = one({ by: "header:X-Tenant", rate: "2/h" })
    expect(passed(4, (i) => ({ headers: { [i % 2 === 0 ? "x-tenant" : "X-TENANT"]: "a" } }))).toBe(2)
    expect(passed(4, { headers: { "x-tenant": "A" } })).toBe(2)
    expect(passed(4)).toBe(2)
  })

  test("[C-6.1] by claim: the value counts with its kind and its issuer; without one the user", () => {
    const { passed } = one({ by: "claim:org", rate: "1/h" })
    const org = (value: unknown, issuer = "gatehouse") => ({
      caller: { id: "x", issuer, claims: { org: value } },
    })
    expect(passed(3, org("7"))).toBe(1)
    expect(passed(3, org(7))).toBe(1)
    expect(passed(3, org("7", "https://other.example"))).toBe(1)
    expect(passed(3, (i) => org({ i }))).toBe(1)
    expect(passed(3, { caller: { id: "y", claims: Object.create({ org: "7" }) } })).toBe(1)
  })

  test("[C-6.1] a combination has a bucket for each pair", () => {
    const { passed } = one({ by: ["user", "header:x-device"], rate: "1/h" })
    const asked = (id: string, device: string) => ({ caller: { id }, headers: { "x-device": device } })
    expect(passed(2, asked("ann", "b"))).toBe(1)
    expect(passed(2, asked("ann", "c"))).toBe(1)
    expect(passed(2, asked("an", "nb"))).toBe(1)
  })

  test("[V-rl.4b] scope: a route's own count, a service's, or one for all", () => {
    const { route } = open()
    const [a, b, c] = [
      { label: "/a", service: "s" },
      { label: "/b", service: "s" },
      { label: "/c", service: "t" },
    ]
    const passes = (scope: string) =>
      [a, b, c].map((at) => route({ by: "ip", rate: "2/h", scope, name: scope }, at).passed(3))
    expect(passes("route")).toEqual([2, 2, 2])
    expect(passes("service")).toEqual([2, 0, 2])
    expect(passes("global")).toEqual([2, 0, 0])
  })
})

describe("how much", () => {
  test("[C-6.3 V-rl.3] tiers have rates of their own, with burst for premium", () => {
    const { passed } = one({
      rate: "1/min",
      tiers: { free: { rate: "2/min" }, premium: { rate: "5/min", burst: 9 } },
    })
    expect(passed(20, { caller: { id: "a", tier: "free" } })).toBe(2)
    expect(passed(20, { caller: { id: "b", tier: "premium" } })).toBe(9)
    expect(passed(20, { caller: { id: "c", tier: "enterprise" } })).toBe(1)
    expect(passed(20)).toBe(1)
  })

  test("[C-6.3] the first role that fits goes before the tier", () => {
    const { passed } = one({
      rate: "1/min",
      roles: { partner: { rate: "4/min" }, staff: { rate: "6/min" } },
      tiers: { free: { rate: "2/min" } },
    })
    expect(passed(9, { caller: { id: "a", roles: ["staff", "partner"] } })).toBe(4)
    expect(passed(9, { caller: { id: "b", roles: ["staff"] } })).toBe(6)
    expect(passed(9, { caller: { id: "c", roles: ["none"] } })).toBe(2)
  })

  test("[C-6.1] a cost takes so many tokens", () => {
    expect(one({ rate: "10/h", cost: 3 }).passed(9)).toBe(3)
  })

  test("[C-6.1] cost by the size of the body, at most the whole bucket", () => {
    const { time, route } = open()
    const { ask, passed } = route({ rate: "10/h", cost: { per_body: "1KB" } })
    expect(ask({ body: new Uint8Array(3000) }).header("x-ratelimit-remaining")).toBe("7")
    expect(ask({ body: new Uint8Array(9000) }).passed).toBe(false)
    expect(passed(20)).toBe(7)
    time.nowMs += 3_600_000
    expect(ask({ body: new Uint8Array(1_000_000) }).header("x-ratelimit-remaining")).toBe("0")
  })

  test("[C-6.1] a body that tells no length is paid for when it has come", () => {
    const { ask, steps } = one({ rate: "10/h", cost: { per_body: "1KB" } })
    const { exchange, header } = ask({ body: new ChunkSource([]) })
    expect(header("x-ratelimit-remaining")).toBe("9")
    exchange.bytesIn = 5 * 1024
    steps.done!(exchange)
    expect(ask().header("x-ratelimit-remaining")).toBe("4")
  })

  test("[C-6.7] what is exempt is neither limited nor told of limits", () => {
    const exempt = {
      roles: ["crisis"],
      tiers: ["enterprise"],
      ips: ["198.51.100.0/24", "2001:db8::1"],
      methods: ["OPTIONS"],
      paths: ["/emergency/*", "/now"],
    }
    const { ask, passed } = one({ rate: "1/h", exempt })
    expect(passed(5, { caller: { roles: ["user", "crisis"] } })).toBe(5)
    expect(passed(5, { caller: { tier: "enterprise" } })).toBe(5)
    expect(passed(5, { client: "198.51.100.7" })).toBe(5)
    expect(passed(5, { client: "2001:db8::1" })).toBe(5)
    expect(passed(5, { method: "OPTIONS" })).toBe(5)
    expect(passed(5, { path: "/emergency/call" })).toBe(5)
    expect(ask({ path: "/now" }).header("ratelimit")).toBeUndefined()
    expect(passed(5, (i) => ({ path: ["/emergency", "/now/x", "/emergencyx", "/x/now", "/"][i]! }))).toBe(1)
  })

  test("[C-6.7] critical operations that are exempt are neither refused nor counted, nor told of limits", () => {
    const { ask, passed } = one({ by: "ip", rate: "2/h", exempt: { priority: ["critical", "high"] } })
    expect(passed(5, { priority: 0 })).toBe(5)
    expect(passed(5, { priority: 1 })).toBe(5)
    expect(passed(5, { priority: 2 })).toBe(2)
    expect(passed(5, { priority: 3 })).toBe(0)
    const critical = ask({ priority: 0 })
    expect(critical.passed).toBe(true)
    expect(critical.header("ratelimit")).toBeUndefined()
  })
})

describe("several limits", () => {
  const BOTH = [
    { name: "second", by: "user", rate: "2/s" },
    { name: "day", by: "user", rate: "5/d" },
  ]

  test("[T-5.1] all must have room, and a refusal is charged to none", () => {
    const { time, route } = open()
    const { ask, passed } = route(BOTH)
    const ann = { caller: { id: "ann" } }
    expect(passed(10, ann)).toBe(2)
    time.nowMs += 1000
    expect(passed(10, ann)).toBe(2)
    time.nowMs += 1000
    expect(passed(10, ann)).toBe(1)
    // The one that keeps it waiting longest is named; the other one was not charged.
    expect(ask(ann).failure?.details).toEqual({ limit: "day", retry_after: 17_278 })
    expect(ask(ann).header("ratelimit")).toBe('"second";r=1;t=1, "day";r=0;t=86398')
  })

  test("[C-6.5] X-RateLimit tells of the tightest", () => {
    const { ask } = one([
      { name: "wide", by: "ip", rate: "100/min" },
      { name: "narrow", by: "ip", rate: "3/min" },
    ])
    const { header } = ask()
    expect(header("x-ratelimit-limit")).toBe("3")
    expect(header("ratelimit-policy")).toBe('"wide";q=100;w=60, "narrow";q=3;w=60')
    expect(header("ratelimit")).toBe('"wide";r=99;t=1, "narrow";r=2;t=20')
  })

  test("shadow: counted and logged, never refused, no headers; nothing of what was refused otherwise", () => {
    const { counted, lines, route } = open()
    const { ask, passed } = route([
      { name: "real", by: "ip", rate: "3/h" },
      { name: "trial", by: "ip", rate: "2/h", mode: "shadow" },
    ])
    expect(passed(6)).toBe(3)
    expect(ask().header("ratelimit-policy")).toBe('"real";q=3;w=3600')
    expect(counted).toEqual({
      "real allowed": 3,
      "real refused": 4,
      "trial allowed": 2,
      "trial shadowed": 1,
    })
    expect(lines.map(({ fields }) => `${fields.limit} ${fields.mode}`)).toContain("trial shadow")
  })
})

describe("what clients hear", () => {
  test("[C-6.5 T-5.3] how many there are, how many are left, and when all are back", () => {
    const { time, route } = open()
    const { ask } = route({ name: "api", rate: "100/min" })
    const { header } = ask()
    expect(header("x-ratelimit-limit")).toBe("100")
    expect(header("x-ratelimit-remaining")).toBe("99")
    expect(header("x-ratelimit-reset")).toBe("1")
    expect(header("ratelimit-policy")).toBe('"api";q=100;w=60')
    expect(header("ratelimit")).toBe('"api";r=99;t=1')
    time.nowMs += 60_000
    for (let i = 0; i < 49; i++) ask()
    expect(ask().header("ratelimit")).toBe('"api";r=50;t=30')
  })

  test("[C-6.5 T-5.3] a refusal says which limit and how long to wait", () => {
    const { ask, passed } = one({ name: "api", rate: "10/min" })
    expect(passed(10)).toBe(10)
    const { failure, header } = ask()
    expect(failure).toMatchObject({
      code: "RATE_LIMITED",
      details: { limit: "api", retry_after: 6 },
      retryAfterS: 6,
    })
    expect([header("x-ratelimit-remaining"), header("x-ratelimit-reset")]).toEqual(["0", "60"])
  })

  test("[C-6.5] the service's own RateLimit fields give way", () => {
    const { exchange } = one({ rate: "10/min" }).ask()
    exchange.answer = makeAnswer(200, { "x-ratelimit-limit": "7", ratelimit: "old" })
    expect(exchange.responseHeader("x-ratelimit-limit")).toBe("10")
    expect(exchange.responseHeader("ratelimit")).toBe('"user";r=9;t=6')
  })

  test("headers: false says nothing but Retry-After", () => {
    const { ask } = one({ rate: "1/min", headers: false })
    expect(ask().header("ratelimit")).toBeUndefined()
    expect(ask()).toMatchObject({ failure: { retryAfterS: 60 } })
  })

  test("[C-6.5 F-60] a client that waits exactly Retry-After succeeds", () => {
    const rate = fc.tuple(fc.integer({ min: 1, max: 5000 }), fc.constantFrom("s", "min", "h", "d"))
    const waits = fc.array(fc.double({ min: 0, max: 100_000, noNaN: true }), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(rate, fc.integer({ min: 1, max: 50 }), waits, ([count, unit], burst, passing) => {
        const { time, route } = open()
        const { ask } = route([
          { name: "a", rate: `${count}/${unit}`, burst },
          { name: "b", rate: `${count}/${unit}`, burst: burst + 3, cost: 2 },
        ])
        for (const ms of passing) {
          time.nowMs += ms
          while (ask().passed);
          const refused = ask()
          if (refused.passed) continue
          time.nowMs += refused.failure!.retryAfterS! * 1000
          if (!ask().passed) return false
        }
        return true
      }),
      { numRuns: 60 },
    )
  })
})

describe("a queue", () => {
  /** Requests that wait: in the order of their turns, who went on and when, and who was refused at once. */
  function line(options: object) {
    const { time, counted, route } = open()
    const { steps } = route({ by: "ip", name: "api", rate: "10/s", burst: 1, ...options })
    const went: string[] = []
    const wentAt: number[] = []
    let waiting = 0
    const start = time.nowMs
    const ask = (name: string, of: PriorityClass = "normal", client = "192.0.2.1") => {
      const exchange = makeExchange()
      exchange.priority = priorityOf(of)
      exchange.client = client
      const verdict = steps.request!(exchange)
      const told = (late: Failure | undefined) =>
        late?.cause === undefined
          ? late === undefined
            ? `${time.nowMs - start}`
            : `refused ${late.retryAfterS}`
          : "left"
      const note = (late: Failure | undefined) => late === undefined && wentAt.push(time.nowMs - start)
      if (verdict instanceof Promise) {
        waiting++
        void (verdict as Promise<Failure | undefined>).then((late) => {
          waiting--
          note(late)
          went.push(`${name} ${told(late)}`)
        })
      } else note(verdict as Failure | undefined)
      if (!(verdict instanceof Promise))
        went.push(
          `${name} ${verdict === undefined ? "at once" : `refused ${(verdict as Failure).retryAfterS}`}`,
        )
      return exchange
    }
    const pass = async (ms: number) => {
      time.nowMs += ms
      for (let i = 0; i < 5; i++) await Promise.resolve()
    }
    return { ask, pass, went, wentAt, counted, waiting: () => waiting }
  }

  test("[C-6.4] a request a little over the limit waits its turn: first come, first served", async () => {
    const { ask, pass, went, counted } = line({ queue: { max: 10, timeout: "1s" } })
    for (const name of ["a", "b", "c", "d"]) ask(name)
    expect(went).toEqual(["a at once"])
    for (let i = 0; i < 4; i++) await pass(100)
    expect(went).toEqual(["a at once", "b 100", "c 200", "d 300"])
    expect(counted).toEqual({ "api allowed": 1, "api queued": 3 })
  })

  test("[C-6.4] never more wait than may, nor longer", async () => {
    const few = line({ queue: { max: 2, timeout: "10s" } })
    for (const name of ["a", "b", "c", "d"]) few.ask(name)
    expect(few.went).toEqual(["a at once", "d refused 1"])
    for (let i = 0; i < 3; i++) await few.pass(100)
    few.ask("e")
    expect(few.went).toEqual(["a at once", "d refused 1", "b 100", "c 200", "e at once"])
    const short = line({ queue: { max: 10, timeout: "200ms" } })
    for (const name of ["a", "b", "c", "d"]) short.ask(name)
    expect(short.went).toEqual(["a at once", "d refused 1"])
  })

  test("[C-6.4] a client that leaves gives up its place and its token", async () => {
    const { ask, pass, went } = line({ queue: { max: 2, timeout: "1s" } })
    const [, b] = [ask("a"), ask("b"), ask("c")]
    b.clientLeft()
    await pass(0)
    ask("d")
    expect(went).toEqual(["a at once", "b left"])
    for (let i = 0; i < 2; i++) await pass(100)
    // Those behind move up, so no turn passes unused.
    expect(went).toEqual(["a at once", "b left", "c 100", "d 200"])
  })

  test("[C-6.4 C-6.7] a more important class goes first, and in a class who came first", async () => {
    const { ask, pass, went } = line({ queue: { max: 10, timeout: "1s" } })
    ask("a")
    ask("n1")
    ask("low", "low")
    ask("n2")
    ask("c1", "critical")
    ask("high", "high")
    ask("c2", "critical")
    for (let i = 0; i < 6; i++) await pass(100)
    expect(went).toEqual(["a at once", "c1 100", "c2 200", "high 300", "n1 400", "n2 500", "low 600"])
  })

  test("[C-6.4 C-6.7] in a full queue the last of the least important gives way, to more important ones alone", async () => {
    const { ask, pass, went, counted } = line({ queue: { max: 3, timeout: "10s" } })
    for (const name of ["a", "n1", "n2"]) ask(name)
    ask("low", "low")
    ask("n3")
    await pass(0)
    expect(went).toEqual(["a at once", "low refused 1"])
    ask("c1", "critical")
    await pass(0)
    expect(went.at(-1)).toBe("n3 refused 1")
    // Nobody less important waits: its own class does not give way, nor a more important one.
    ask("n4")
    ask("low2", "low")
    expect(went.slice(-2)).toEqual(["n4 refused 1", "low2 refused 1"])
    for (let i = 0; i < 3; i++) await pass(100)
    expect(went.slice(-3)).toEqual(["c1 100", "n1 200", "n2 300"])
    expect(counted).toEqual({ "api allowed": 1, "api queued": 5, "api refused": 4 })
  })

  test("[C-6.4 C-6.7] a queue that is full by time gives way too, for a turn of the same caller only", async () => {
    const { ask, pass, went } = line({ queue: { max: 10, timeout: "200ms" } })
    for (const name of ["a", "b", "c"]) ask(name)
    ask("other", "normal", "198.51.100.1")
    ask("other low", "low", "198.51.100.1")
    ask("critical", "critical")
    await pass(0)
    expect(went).toEqual(["a at once", "other at once", "c refused 1"])
    for (let i = 0; i < 2; i++) await pass(100)
    expect(went.slice(3)).toEqual(["critical 100", "other low 100", "b 200"])
  })

  test("[C-6.4] who is overtaken again and again waits no longer than may be, and is refused then", async () => {
    const { ask, pass, went } = line({ queue: { max: 10, timeout: "300ms" } })
    ask("a")
    ask("n")
    for (let i = 1; i <= 5; i++) {
      ask(`c${i}`, "critical")
      await pass(100)
    }
    expect(went).toEqual(["a at once", "c1 100", "c2 200", "c3 300", "n refused 1", "c4 400", "c5 500"])
  })

  test("[C-6.4] many who come, wait and leave in any order get no more than the rate, and leave nothing behind", async () => {
    const classes = fc.constantFrom<PriorityClass>("critical", "high", "normal", "low")
    const step = fc.record({ of: classes, tens: fc.nat(15), leaves: fc.nat(3) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const { ask, pass, went, wentAt, waiting } = line({ queue: { max: 4, timeout: "350ms" } })
        const open: ReturnType<typeof ask>[] = []
        let most = 0
        for (const [i, { of, tens, leaves }] of steps.entries()) {
          open.push(ask(`${i}`, of))
          await pass(0)
          most = Math.max(most, waiting())
          if (leaves === 0) open[i >> 1]!.clientLeft()
          for (let ten = 0; ten < tens; ten++) await pass(10)
        }
        for (let ten = 0; ten < 50; ten++) await pass(10)
        expect(most).toBeLessThanOrEqual(4)
        expect(waiting()).toBe(0)
        expect(went).toHaveLength(steps.length)
        for (let i = 1; i < wentAt.length; i++)
          expect(wentAt[i]! - wentAt[i - 1]!).toBeGreaterThanOrEqual(100)
        ask("last")
        expect(went.at(-1)).toBe("last at once")
      }),
      { numRuns: 60 },
    )
  })

  test("[C-6.4] several limits: it waits for the slowest, and is charged to all or none", async () => {
    const { time, route } = open()
    const queue = { max: 10, timeout: "1s" }
    const { steps, ask } = route([
      { name: "fast", by: "ip", rate: "10/s", burst: 1, queue },
      { name: "slow", by: "ip", rate: "2/s", burst: 1, queue },
      { name: "hard", by: "ip", rate: "3/h" },
    ])
    expect(ask().passed).toBe(true)
    const start = time.nowMs
    let wentAt = 0
    const second = steps.request!(makeExchange()) as Promise<unknown>
    void second.then(() => (wentAt = time.nowMs - start))
    time.nowMs += 499
    await Promise.resolve()
    expect(wentAt).toBe(0)
    time.nowMs += 1
    await second
    expect(wentAt).toBe(500)
    time.nowMs += 1000
    expect(ask().passed).toBe(true)
    time.nowMs += 1000
    expect(ask().failure?.details.limit).toBe("hard")
    expect(ask().header("ratelimit")).toStartWith('"fast";r=1;t=0, "slow";r=1;t=0, "hard";r=0')
  })
})

describe("what is recorded", () => {
  test("[C-6.8] who went over which limit where; at most 10 lines a second, and how many more there were", () => {
    const { time, counted, lines, route } = open()
    const { ask } = route({ name: "api", rate: "1/d" })
    const info = { id: 5, label: "GET /x", service: "s" }
    for (let i = 0; i < 31; i++) ask({ caller: { id: "ann" }, route: info })
    expect(lines.length).toBe(10)
    expect(lines[0]).toMatchObject({
      level: "info",
      event: "limit.exceeded",
      fields: { limit: "api", mode: "enforce", route: "GET /x", principal: "ann", issuer: "gatehouse" },
    })
    expect(counted).toEqual({ "api allowed": 1, "api refused": 30 })
    time.nowMs += 1000
    ask({ client: "192.0.2.7" })
    ask({ client: "192.0.2.7" })
    expect(lines.at(-1)!.fields).toMatchObject({ ip: "192.0.2.7", untold: 20 })
  })

  test("[F-60] what finds no room in the table is counted", () => {
    const { counted, route } = open()
    const { passed } = route({ by: "ip", name: "api", rate: "1/d", burst: 2 })
    // Far more clients than slots.
    const found = passed(3000, (i) => ({ client: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}` }))
    expect(counted["api overflowed"]).toBeGreaterThan(100)
    expect(found).toBeLessThan(1024 + 3000 / 2)
    expect(found).toBe(counted["api allowed"]!)
  })
})

describe("config", () => {
  test.each([
    [{ rate: "10/fortnight" }, 'rate: "10/fortnight" is no rate'],
    [{ rate: "1/s", by: "usr" }, 'by: unknown "usr"; did you mean "user"?'],
    [{ rate: "1/s", by: "header:a b" }, 'no header can have the name "a b"'],
    [{ rate: "1/s", by: "cookie:a" }, 'unknown "cookie:a"'],
    [{ rate: "1/s", by: ["user", "claim:"] }, 'unknown "claim:"'],
    [{ rate: "1/s", cost: 2 }, "none would ever pass"],
    [{ rate: "9/s", cost: 2, tiers: { free: { rate: "1/s" } } }, "tiers.free.burst: a request costs 2"],
    [{ rate: "9/s", roles: { a: { rate: "x" } } }, 'roles.a.rate: "x" is no rate'],
    [{ rate: "1/d", burst: 400 }, "takes over a year to fill"],
    [{ rate: "1/s", cost: { per_body: 0 } }, "0 bytes cannot have a price"],
    [{ rate: "1/s", exempt: { ips: ["10.0.0.0/33"] } }, "10.0.0.0/33 is neither an address nor a range"],
    [{ rate: "1/s", exempt: { methods: ["get"] } }, "get is no method"],
    [{ rate: "1/s", exempt: { paths: ["/a*"] } }, "/a* is no path"],
    [{ rate: "1/s", queue: { timeout: "61s" } }, "queue.timeout: must be over 0 and at most 60s"],
    [{ rate: "1/s", mode: "shadow", queue: {} }, "nothing can wait"],
    [[{ rate: "1/s" }, { rate: "5/d" }], "user: there are two limits of this name"],
  ])("%j is refused, and it is said why", (options, message) => {
    expect(checkPolicy(rateLimit, options).join("\n")).toContain(message)
  })

  test("scope service needs a service", () => {
    expect(checkPolicy(rateLimit, { rate: "1/s", scope: "service" }, { service: "" })).toHaveLength(1)
    expect(checkPolicy(rateLimit, { rate: "1/s", scope: "service" })).toEqual([])
  })

  test("a limit without a name is called by what it counts", () => {
    const { header } = one({ by: ["ip", "header:X-Tenant"], rate: "1/s" }).ask()
    expect(header("ratelimit-policy")).toBe('"ip.header-x-tenant";q=1;w=1')
  })
})
