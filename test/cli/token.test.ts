import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runCommand } from "../../src/cli/command.ts"
import { bearer, SECRET, TestAuthenticator } from "../support/authenticator.ts"

let directory: string
let file: string

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "gatehouse-token-"))
  file = write("gatehouse.json", { auth: { secret: SECRET } })
})
afterAll(() => rmSync(directory, { recursive: true }))

function write(name: string, config: object): string {
  const path = join(directory, name)
  const rest = {
    services: { none: { instances: ["http://127.0.0.1:1"] } },
    routes: [{ path: "/", service: "none" }],
  }
  writeFileSync(path, JSON.stringify({ ...rest, ...config }))
  return path
}

async function token(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = ""
  let err = ""
  const code = await runCommand(["token", ...args], {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { code, out, err }
}

describe("gatehouse token", () => {
  test("mints a token the gateway with this config takes, with scopes of the roles", async () => {
    const { code, out } = await token("--sub", "ann", "--roles", "user, child", "-c", file)
    expect(code).toBe(0)
    expect(await new TestAuthenticator().principal(bearer(out.trim()))).toMatchObject({
      id: "ann",
      kind: "user",
      roles: ["user", "child"],
      scopes: ["read", "write"],
      tier: "free",
      sessionId: "",
    })
  })

  test("takes scopes, tier and life as they are given", async () => {
    const given = ["--sub", "ann", "--scope", "read admin", "--tier", "premium", "--ttl", "5m", "-c", file]
    const { out } = await token(...given)
    const authenticator = new TestAuthenticator()
    const principal = await authenticator.principal(bearer(out.trim()))
    expect(principal).toMatchObject({ roles: [], scopes: ["read", "admin"], tier: "premium" })
    authenticator.pass(6 * 60_000)
    expect(await authenticator.ask(bearer(out.trim()))).toBe("expired")
  })

  const WRONG: readonly (readonly [string, readonly string[], string])[] = [
    ["no --sub", [], "--sub"],
    ["an empty --sub", ["--sub", ""], "--sub"],
    ["a role that is not in the config", ["--sub", "a", "--roles", "king"], '"king" is none of the roles'],
    ["a tier that is not in the config", ["--sub", "a", "--tier", "gold"], '"gold" is none of the tiers'],
    ["a life that is none", ["--sub", "a", "--ttl", "soon"], "--ttl"],
    ["a life beyond a year", ["--sub", "a", "--ttl", "366d"], "--ttl"],
    ["a flag that is not known", ["--sub", "a", "--role", "user"], "--roles"],
  ]
  test.each(WRONG)("with %s it exits with 1, says why, and prints no token", async (_, args, says) => {
    const { code, out, err } = await token(...args, "-c", file)
    expect([code, out]).toEqual([1, ""])
    expect(err).toContain(says)
  })

  test("with a config without the section auth it exits with 1", async () => {
    const { code, err } = await token("--sub", "ann", "-c", write("open.json", {}))
    expect(code).toBe(1)
    expect(err).toContain("no section `auth`")
  })
})
