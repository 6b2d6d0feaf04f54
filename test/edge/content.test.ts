import { afterAll, describe, expect, test } from "bun:test"
import { gzipSync } from "node:zlib"
import { FieldList } from "../../src/http1/field_list.ts"
import { throughBothDoors, throughDoor } from "../support/doors.ts"
import { openEdge } from "../support/edge.ts"
import { serveGateway } from "../support/gateway.ts"
import { type RawResponse, talk } from "../support/raw_client.ts"

const HOST = "Host: a.example\r\n"
throughBothDoors((door) => {
  const open: { close(): void }[] = []
  afterAll(() => {
    for (const each of open) each.close()
  })
  const get = (fields = "", target = "/x") => `GET ${target} HTTP/1.1\r\n${HOST}${fields}\r\n`
  const code = ({ body }: RawResponse) => (JSON.parse(body) as { error: { code: string } }).error.code

  describe("answers that cannot be sent", () => {
    const answers: Record<string, string[]> = {
      "/crlf": ["location", "/x\r\nset-cookie: evil=1"],
      "/lf": ["x-a", "b\nc"],
      "/wide": ["x-a", "snow \u2603"],
      "/name": ["x a", "b"],
    }
    const served = serveGateway(throughDoor(door, { defaults: { request_id: {}, access_log: {} } }), {
      builtins: {
        routes: () =>
          [...Object.keys(answers), "/throws"].map((path) => ({ path, methods: [], caller: false })),
        answer: (exchange) => {
          if (exchange.path === "/throws") return Promise.reject(new Error("secret err at /home/secret.ts"))
          const fields = new FieldList(answers[exchange.path]!)
          return Promise.resolve({
            kind: "answer",
            answer: { status: 302, fields, body: Buffer.from("x") },
          })
        },
      },
    })
    open.push(served)

    for (const path of [...Object.keys(answers), "/throws"]) {
      test(`[F-78] ${path}: a header that cannot be written, or a fault, is a 500 that tells nothing`, async () => {
        const [response] = await talk(served.port, get("", path))
        expect(response!.status).toBe(500)
        expect(code(response!)).toBe("INTERNAL_ERROR")
        expect(response!.header("set-cookie")).toBeUndefined()
        expect(response!.head + response!.body).not.toMatch(/secret|evil|snow|\.ts|Error:/)
        expect(served.access.at(-1)!.status).toBe(500)
        expect(served.inFlight()).toBe(0)
      })
    }
  })

  describe("bodies the gateway looks into", () => {
    const edge = openEdge({
      door,
      config: {
        routes: [
          {
            path: "/*",
            service: "s",
            validate: { body: { type: "object", properties: { a: { type: "integer" } } }, max_body: "100KB" },
          },
        ],
      },
    })
    open.push(edge)
    async function post(body: Buffer | string, fields = ""): Promise<RawResponse> {
      const bytes = Buffer.from(body as string)
      const head = `POST /x HTTP/1.1\r\n${HOST}Content-Type: application/json\r\n${fields}Content-Length: ${bytes.length}\r\n\r\n`
      const [response] = await talk(edge.port, Buffer.concat([Buffer.from(head), bytes]))
      return response!
    }

    test("[F-24] a compression bomb is refused with 413 at the decoded limit", async () => {
      const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
      expect(bomb.length).toBeLessThan(100 * 1024)
      Bun.gc(true)
      const before = process.memoryUsage.rss()
      const response = await post(bomb, "Content-Encoding: gzip\r\n")
      expect(response.status).toBe(413)
      expect(process.memoryUsage.rss() - before).toBeLessThan(32 * 1024 * 1024)
      expect(edge.received()).toEqual([])
    })

    test("[F-26] __proto__ changes no prototype, and depth and huge numbers are refused", async () => {
      await post('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}')
      expect(({} as Record<string, unknown>).polluted).toBeUndefined()
      expect((await post(`${"[".repeat(10_000)}${"]".repeat(10_000)}`)).status).toBe(400)
      expect((await post(`{"a": ${"9".repeat(5000)}}`)).status).toBe(400)
      expect((await post(`{"a": 1e999}`)).status).toBe(400)
      expect((await post("{}")).status).toBe(200)
    })
  })
})
