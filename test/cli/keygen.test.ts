import { expect, test } from "bun:test"
import { runCommand } from "../../src/cli/command.ts"
import type { Algorithm } from "../../src/identity/algorithms.ts"
import { importPem, importSecret } from "../../src/identity/keys.ts"

async function keygen(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""]
  const code = await runCommand(["keygen", ...args], {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
  })
  return { code, out, err }
}

for (const alg of ["ES256", "ES384", "EdDSA", "RS256", "PS256"] as const)
  test(`a new ${alg} key is PEM that config takes, and the hint names its id`, async () => {
    const { code, out, err } = await keygen(alg)
    const key = importPem(out, alg, undefined)
    if (!key.ok) throw new Error(key.message)
    expect(code).toBe(0)
    expect(out).toMatch(/^-----BEGIN PRIVATE KEY-----\n[\w+/=\n]+-----END PRIVATE KEY-----\n$/)
    expect(err).toContain(`kid: "${key.verify.kid}", alg: ${alg}`)
  })

test("without arguments it is an ES256 key", async () => {
  expect(importPem((await keygen()).out, "ES256", undefined).ok).toBe(true)
})

test("a new secret has 256 bits, and goes to standard output only", async () => {
  const { code, out, err } = await keygen("HS256", "--kid", "2030-a")
  expect(code).toBe(0)
  expect(out).toMatch(/^[\w-]{43}\n$/)
  expect(err).toContain('kid: "2030-a", alg: HS256')
  expect(err).not.toContain(out.trim())
  expect(importSecret(out.trim(), "HS256" satisfies Algorithm, "2030-a").ok).toBe(true)
})

test("two keys are different", async () => {
  expect((await keygen("HS256")).out).not.toBe((await keygen("HS256")).out)
})

test("an unknown algorithm, a bad id and a word too many are usage errors, and print no key", async () => {
  for (const args of [
    ["none"],
    ["es256"],
    ["HS512"],
    ["ES256", "x"],
    ["--kid", "a b"],
    ["--kid", ""],
    ["--kid"],
    ["--kdi", "a"],
  ]) {
    const { code, out, err } = await keygen(...args)
    expect([args, code, out]).toEqual([args, 1, ""])
    expect(err).toContain("usage: gatehouse keygen [ALGORITHM] [--kid ID]")
  }
})
