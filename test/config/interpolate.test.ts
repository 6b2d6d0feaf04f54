// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are placeholders of config files.
import { describe, expect, test } from "bun:test"
import { type Loaded, parseConfig } from "../../src/config/load.ts"

const yaml = (text: string, env: Record<string, string> = {}) => parseConfig(text, "yaml", env)

function config(loaded: Loaded) {
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return loaded.config
}

describe("placeholders", () => {
  test("[I-env] a value that is one placeholder becomes a number or boolean where one is wanted", () => {
    const { server } = config(
      yaml("server: { port: ${PORT}, min_body_rate: ${RATE} }", { PORT: "81", RATE: "1KB" }),
    )
    expect([server.port, server.min_body_rate]).toEqual([81, 1024])
  })

  test("a token of digits stays text", () => {
    const { admin } = config(yaml("admin: { token: ${TOKEN} }", { TOKEN: "12345678901234567890" }))
    expect(admin.token).toBe("12345678901234567890")
  })

  test("a default is used when the variable is unset or empty", () => {
    for (const env of [{}, { PORT: "" }])
      expect(config(yaml("server: { port: ${PORT:-82} }", env)).server.port).toBe(82)
  })

  test("placeholders work within a text, in braces, in quotes, in JSON and in TOML", () => {
    const env = { HOST: "h", PORT: "1" }
    const wanted = ["http://h:1"]
    const route = "routes: [{ path: /, service: a }]"
    expect(
      config(yaml(`services: { a: { instances: [http://\${HOST}:\${PORT}] } }\n${route}`, env)).services.a!
        .instances,
    ).toEqual(wanted)
    expect(
      config(yaml(`services: { a: { instances: ["http://\${HOST}:\${PORT}"] } }\n${route}`, env)).services.a!
        .instances,
    ).toEqual(wanted)
    const json =
      '{"services":{"a":{"instances":["http://${HOST}:${PORT}"]}},"routes":[{"path":"/","service":"a"}]}'
    expect(config(parseConfig(json, "json", env)).services.a!.instances).toEqual(wanted)
    const toml = 'services.a.instances = ["http://${HOST}:${PORT}"]\n[[routes]]\npath = "/"\nservice = "a"'
    expect(config(parseConfig(toml, "toml", env)).services.a!.instances).toEqual(wanted)
  })

  test("$${ is a plain ${, and what a variable holds is not searched again", () => {
    const respond = (body: string) => `routes: [{ path: /, respond: { body: "${body}" } }]`
    expect(config(yaml(respond("$${X}"))).routes[0]!.respond!.body).toBe("${X}")
    expect(config(yaml(respond("${X}"), { X: "${Y}" })).routes[0]!.respond!.body).toBe("${Y}")
  })

  test("a missing variable without default is one error with its name and place", () => {
    const loaded = yaml("admin:\n  token: ${ADMIN_TOKEN}")
    expect(loaded.ok === false && loaded.problems).toEqual([
      {
        path: "admin.token",
        message: "the environment variable ADMIN_TOKEN is not set; set it or write ${ADMIN_TOKEN:-default}",
        value: undefined,
        line: 2,
        column: 3,
      },
    ])
  })

  test("a malformed placeholder is an error, and not echoed", () => {
    const loaded = yaml('admin: { token: "${hunter2 hunter2}" }')
    expect(loaded.ok).toBe(false)
    expect(JSON.stringify(loaded)).not.toContain("hunter2")
  })

  test("__proto__ and constructor are no variables", () => {
    expect(yaml("server: { host: ${constructor} }").ok).toBe(false)
  })
})

describe("[F-72] secrets never appear in problems", () => {
  test("the admin token", () => {
    expect(JSON.stringify(yaml("admin: { token: hunter2 }"))).not.toContain("hunter2")
    expect(JSON.stringify(yaml("admin: { token: 7777777 }"))).not.toContain("7777777")
  })

  test("a value from the environment, wherever it is used", () => {
    const loaded = yaml("server: { host: [], port: ${PORT} }", { PORT: "hunter2" })
    expect(JSON.stringify(loaded)).not.toContain("hunter2")
    expect(JSON.stringify(loaded)).toContain("${PORT}")
  })

  test("credentials in the URL of an instance", () => {
    const loaded = yaml("services: { a: { instances: [http://user:hunter2@host] } }")
    expect(loaded.ok).toBe(false)
    expect(JSON.stringify(loaded)).not.toContain("hunter2")
  })

  test("text around a syntax error, in each format", () => {
    const broken = {
      yaml: 'admin: { token: "hunter2\\q" }\nb: *hunter2\nc: [',
      json: '{"admin": {"token": "hunter2}}',
      toml: 'token = "hunter2\n',
    } as const
    for (const [format, text] of Object.entries(broken)) {
      const loaded = parseConfig(text, format as keyof typeof broken, {})
      expect(loaded.ok).toBe(false)
      expect(JSON.stringify(loaded)).not.toContain("hunter2")
    }
  })

  test("a private key pasted where its file name belongs", () => {
    const loaded = yaml(
      'server: { tls: { cert: "-----BEGIN CERTIFICATE-----", key: "-----BEGIN PRIVATE KEY-----hunter2" } }',
    )
    expect(loaded.ok).toBe(false)
    expect(JSON.stringify(loaded)).not.toContain("hunter2")
  })
})

test("in JSON a default has JSON's escapes, and private-use characters are data", () => {
  const json = '{"routes":[{"path":"/","respond":{"body":"${X:-a\\"b}\uE000"}}]}'
  expect(config(parseConfig(json, "json", {})).routes[0]!.respond!.body).toBe('a"b\uE000')
})
