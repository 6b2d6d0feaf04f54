import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import type { Sample } from "../../bench/open_load.ts"
import { parseSloArguments, type SloOptions } from "../../bench/slo_arguments.ts"
import { judge, parseObjective, SloTally } from "../../bench/slo_verdict.ts"
import { SERVICE_CERTIFICATE, SERVICE_KEY } from "../support/certificates.ts"

const NEEDED = ["--url", "https://api.example.com/v1/things?limit=1", "--rate", "500", "--duration", "30s"]

function accepted(...args: string[]): SloOptions {
  const parsed = parseSloArguments([...NEEDED, ...args])
  if (parsed.kind !== "run") throw new Error(`not accepted: ${JSON.stringify(parsed)}`)
  return parsed.options
}

function refused(...args: string[]): string {
  const parsed = parseSloArguments(args)
  if (parsed.kind !== "wrong") throw new Error("not refused")
  return parsed.message
}

/** The needed arguments with the value of one changed. */
const withValue = (flag: string, value: string): string[] =>
  NEEDED.map((each, i) => (NEEDED[i - 1] === flag ? value : each))

describe("arguments of bench/slo.ts", () => {
  test("what is not said has its default", () => {
    expect(accepted()).toEqual({
      target: {
        hostname: "api.example.com",
        port: 443,
        tls: { serverName: "api.example.com", verify: true },
      },
      path: "/v1/things?limit=1",
      host: "api.example.com",
      fields: "",
      perSecond: 500,
      durationMs: 30_000,
      warmUpMs: 2000,
      connections: 256,
      timeoutMs: 10_000,
      objectives: [{ percentile: 99, ms: 50 }],
      maxErrors: 0.001,
      json: false,
    })
  })

  test("objectives replace the default, and there may be several", () => {
    const { objectives } = accepted("--objective", "p99.9=1s", "--objective", "max=2s")
    expect(objectives).toEqual([
      { percentile: 99.9, ms: 1000 },
      { percentile: 100, ms: 2000 },
    ])
  })

  test("headers are sent as given, and Host replaces that of the URL", () => {
    const { fields, host } = accepted("--header", "X-A: b: c", "--header", "host: other.example")
    expect({ fields, host }).toEqual({ fields: "X-A: b: c\r\n", host: "other.example" })
  })

  test("an address has no server name, and --insecure takes any certificate", () => {
    const parsed = parseSloArguments([...withValue("--url", "https://[::1]:8443/"), "--insecure"])
    expect(parsed).toMatchObject({
      options: { target: { hostname: "::1", port: 8443, tls: { serverName: "", verify: false } } },
    })
  })

  test("plain HTTP goes to port 80 without TLS", () => {
    expect(parseSloArguments(withValue("--url", "http://api.example.com"))).toMatchObject({
      options: { target: { port: 80, tls: undefined }, path: "/" },
    })
  })

  for (const flag of ["--url", "--rate", "--duration"])
    test(`without ${flag} the message names it`, () => {
      const at = NEEDED.indexOf(flag)
      expect(refused(...NEEDED.toSpliced(at, 2))).toBe(`${flag} is missing`)
    })

  const WRONG: readonly (readonly [args: string[], says: string])[] = [
    [withValue("--url", "ftp://api.example.com"), "no http:// or https:// URL"],
    [withValue("--url", "api.example.com"), "no http:// or https:// URL"],
    [withValue("--url", "https://ann:pw@api.example.com"), "leave out user and password"],
    [withValue("--rate", "0"), "no number from 0.1 to 50000"],
    [withValue("--rate", "1e9"), "no number from 0.1 to 50000"],
    [withValue("--duration", "30 minutes"), "is no time"],
    [withValue("--duration", "0s"), "must be from"],
    [[...NEEDED, "--connections", "1.5"], "no whole number from 1 to 10000"],
    [[...NEEDED, "--objective", "p100=1s"], "write for example p99=50ms"],
    [[...NEEDED, "--objective", "p99"], "write for example p99=50ms"],
    [[...NEEDED, "--max-errors", "0.1"], "no share from 0% to 100%"],
    [[...NEEDED, "--max-errors", "101%"], "no share from 0% to 100%"],
    [[...NEEDED, "--header", "no colon"], "write it as 'Name: value'"],
    [[...NEEDED, "--header", "Content-Length: 5"], "the load sets it itself"],
    [[...NEEDED, "--raet", "5"], 'did you mean "--rate"?'],
    [[...NEEDED, "more"], 'unexpected argument "more"'],
  ]
  for (const [args, says] of WRONG)
    test(`${args.filter((each) => !NEEDED.includes(each)).join(" ")} is refused: ${says}`, () =>
      expect(refused(...args)).toContain(says))

  test("a header that cannot be sent does not show its value", () => {
    expect(refused(...NEEDED, "--header", "Authorization: Bearer s3cret\u0001")).not.toContain("s3cret")
  })
})

const sample = (ms: number, status = 200, fault = "", at = 1000): Sample => ({
  kind: "",
  status,
  fault,
  ms,
  at,
  lateMs: 0,
})

function tallyOf(...samples: readonly Sample[]): SloTally {
  const tally = new SloTally()
  tally.startedAt = 1000
  for (const each of samples) tally.add(each)
  return tally
}

const held = (tally: SloTally, objective = "p99=50ms", maxErrors = 0): boolean[] =>
  judge(tally, [parseObjective(objective)!], maxErrors).map((verdict) => verdict.held)

describe("verdict of bench/slo.ts", () => {
  test("a percentile at its objective is held, and one past it is not", () => {
    const tally = tallyOf(...Array.from({ length: 100 }, (_, i) => sample(i < 98 ? 10 : 40)))
    expect(held(tally, "p99=41ms")).toEqual([true, true])
    expect(held(tally, "p99=39ms")).toEqual([false, true])
  })

  test("max is the latest of all", () => {
    const tally = tallyOf(...Array.from({ length: 9999 }, () => sample(1)), sample(400))
    expect(held(tally, "p99.9=50ms")).toEqual([true, true])
    expect(held(tally, "max=50ms")).toEqual([false, true])
  })

  test("a status of 400 or more and no answer are errors by kind, and redirects are not", () => {
    const tally = tallyOf(
      sample(1),
      sample(1, 302),
      sample(1, 404),
      sample(1, 503),
      sample(1, 503),
      sample(1, 0, "closed"),
    )
    expect(Object.fromEntries(tally.errors)).toEqual({ "HTTP 404": 1, "HTTP 503": 2, closed: 1 })
    expect([tally.good, tally.failed]).toEqual([2, 4])
  })

  test("as many errors as allowed are held, and one more is not", () => {
    const good = Array.from({ length: 999 }, () => sample(1))
    expect(held(tallyOf(...good, sample(1, 500)), "p99=50ms", 0.001)).toEqual([true, true])
    expect(held(tallyOf(...good.slice(1), sample(1, 500), sample(1, 500)), "p99=50ms", 0.001)).toEqual([
      true,
      false,
    ])
  })

  test("quick refusals do not make percentiles better", () => {
    const tally = tallyOf(...Array.from({ length: 99 }, () => sample(1, 429)), sample(80))
    expect(held(tally, "p50=50ms", 1)).toEqual([false, true])
  })

  test("without a good answer nothing is held", () => {
    expect(held(tallyOf())).toEqual([false, false])
    expect(held(tallyOf(sample(1, 0, "connect: ECONNREFUSED")), "p99=50ms", 1)).toEqual([false, true])
  })

  test("what was due in the warm-up does not count", () => {
    expect(tallyOf(sample(1, 500, "", 999)).failed).toBe(0)
  })
})

/** Runs the tool; its exit code and what it printed. */
async function run(url: string, ...args: string[]) {
  const command = [process.execPath, join(import.meta.dir, "../../bench/slo.ts"), "--url", url]
  const given = ["--rate", "100", "--warm-up", "0s", "--duration", "500ms", ...args]
  const child = Bun.spawn([...command, ...given], { stderr: "pipe" })
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { code: await child.exited, output, errors }
}

/** The same against a server of its own. */
async function runAgainst(fetch: () => Response, ...args: string[]) {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch })
  return run(`http://127.0.0.1:${server.port}/`, ...args).finally(() => server.stop(true))
}

const ok = () => new Response("ok")

describe("bench/slo.ts as a program", () => {
  test("it asks at its rate, and ends with 0 where all is held", async () => {
    const { code, output } = await runAgainst(ok, "--objective", "p50=5s")
    expect(output).toContain("answered  50, ")
    expect(code).toBe(0)
  })

  test("a stall counts for all that were due in it", async () => {
    let asked = 0
    const stall = () => {
      if (++asked === 10) Bun.sleepSync(300)
      return new Response("ok")
    }
    const { code, output } = await runAgainst(stall, "--json", "--objective", "p90=100ms")
    // A closed loop would have one slow request of twenty.
    expect(JSON.parse(output).latency.p90).toBeGreaterThan(150)
    expect(code).toBe(1)
  })

  test("answers in chunks, cut anywhere and after interim ones, are read to their end", async () => {
    const [first, second] = [
      "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Enc",
      "oding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ]
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket) {
          socket.write(first!)
          setTimeout(() => socket.write(second!), 2)
        },
      },
    })
    const { code, output } = await run(`http://127.0.0.1:${server.port}/`, "--objective", "p50=5s")
    server.stop(true)
    expect(output).toContain("answered  50, ")
    expect(code).toBe(0)
  })

  test("a kept connection that is closed when it is used is opened anew, and is no error", async () => {
    const answered = new WeakSet<object>()
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket) {
          if (answered.has(socket)) socket.end()
          else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
          answered.add(socket)
        },
      },
    })
    const { output } = await run(`http://127.0.0.1:${server.port}/`, "--objective", "p50=5s")
    server.stop(true)
    expect(output).toContain("answered  50, ")
  })

  test("a certificate of nobody's is an error, unless told to take any", async () => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: SERVICE_CERTIFICATE, key: SERVICE_KEY },
      fetch: ok,
    })
    const url = `https://127.0.0.1:${server.port}/`
    const strict = await run(url)
    const insecure = await run(url, "--insecure", "--objective", "p50=5s")
    await server.stop(true)
    expect(strict.output).toContain("50 × tls: ")
    expect(strict.code).toBe(1)
    expect(insecure.output).toContain("answered  50, ")
    expect(insecure.code).toBe(0)
  })

  test("errors end it with 1 and are named", async () => {
    const { code, output } = await runAgainst(() => new Response("no", { status: 503 }))
    expect(output).toContain("50 × HTTP 503")
    expect(code).toBe(1)
  })

  test("an interrupt ends it with 130, and what there is so far", async () => {
    const asked = Promise.withResolvers<void>()
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch() {
        asked.resolve()
        return ok()
      },
    })
    const command = [process.execPath, join(import.meta.dir, "../../bench/slo.ts")]
    const given = [
      "--url",
      `http://127.0.0.1:${server.port}/`,
      "--rate",
      "100",
      "--duration",
      "1h",
      "--warm-up",
      "0s",
    ]
    const child = Bun.spawn([...command, ...given])
    await asked.promise
    child.kill("SIGINT")
    const output = await new Response(child.stdout).text()
    await server.stop(true)
    expect(output).toContain("broken off")
    expect(output).toMatch(/answered {2}[1-9]/)
    expect(await child.exited).toBe(130)
  })

  test("wrong usage ends it with 2, and says what is wrong", async () => {
    const { code, errors } = await run("https://api.example.com/", "--rate", "none")
    expect(errors).toStartWith('--rate: "none" is no number')
    expect(code).toBe(2)
  })
})
