import { afterEach, expect, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createLocalJWKSet, jwtVerify } from "jose"
import { ControlIdentity } from "../../../src/cli/identity.ts"
import { SECRET } from "../../support/authenticator.ts"
import { exampleConfig } from "../../support/config.ts"
import { closeVms, openVm } from "../../support/identity_vm.ts"
import { closeStores, NO_LOG } from "../../support/store.ts"
import { sqliteUrl } from "../../support/store_urls.ts"

const directories: string[] = []

afterEach(async () => {
  closeVms()
  await closeStores()
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true })
})

/** A private key in a file, as config names one. */
function keyFile(): string {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-keys-"))
  directories.push(directory)
  const file = join(directory, "key.pem")
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }))
  return file
}

test("[T-4.1 V-auth.3] any service can verify a token by the published keys, with a library of its own", async () => {
  const keys = [{ alg: "ES256", file: keyFile(), kid: "2026-a" }]
  const vm = await openVm(sqliteUrl(), { issuer: "https://api.example.com", keys })
  const id = await vm.addUser("ann@example.com")
  const { access_token } = await vm.logIn("ann@example.com")
  const { body, headers } = await vm.ask("GET", "/.well-known/jwks.json")
  expect(headers.get("cache-control")).toBe("public, max-age=300")
  const options = { issuer: "https://api.example.com", audience: "api", typ: "at+jwt" }
  const verified = await jwtVerify(access_token, createLocalJWKSet(body), options)
  expect(verified.payload).toMatchObject({ sub: id, scope: "read write", roles: ["user"] })
  expect(verified.protectedHeader).toMatchObject({ alg: "ES256", kid: "2026-a" })
})

test("no secret and no private part of a key is published", async () => {
  const keys = [{ alg: "ES256", file: keyFile() }]
  const vm = await openVm(sqliteUrl(), { keys })
  const { body, text } = await vm.ask("GET", "/.well-known/jwks.json")
  expect(body.keys).toHaveLength(1)
  expect(Object.keys(body.keys[0]).toSorted()).toEqual(["alg", "crv", "kid", "kty", "use", "x", "y"])
  expect(text).not.toContain(Buffer.from(SECRET).toString("base64url"))
})

test("the metadata names the endpoints under the first prefix, over https", async () => {
  const vm = await openVm(sqliteUrl())
  const { body } = await vm.ask("GET", "/.well-known/openid-configuration")
  expect(body).toMatchObject({
    issuer: "gatehouse",
    jwks_uri: "https://api.example.com/.well-known/jwks.json",
    token_endpoint: "https://api.example.com/api/v1/auth/token",
    introspection_endpoint: "https://api.example.com/api/v1/auth/introspect",
    revocation_endpoint: "https://api.example.com/api/v1/auth/revoke",
    grant_types_supported: ["password", "client_credentials", "refresh_token"],
    id_token_signing_alg_values_supported: ["HS256"],
    scopes_supported: ["read", "write", "admin"],
  })
})

test.each<[string, object, string]>([
  ["the public address", { public_url: "https://www.example.com" }, "https://www.example.com"],
  [
    "the public address before the issuer",
    { public_url: "https://www.example.com", issuer: "https://id.example.com" },
    "https://www.example.com",
  ],
  ["the issuer if it is an address", { issuer: "https://id.example.com/tenant" }, "https://id.example.com"],
  [
    "the host that is asked if the issuer is a name",
    { issuer: "urn:example:gateway" },
    "https://api.example.com",
  ],
])("[F-52] the metadata takes its addresses from %s", async (_, auth, base) => {
  const vm = await openVm(sqliteUrl(), auth)
  const { body } = await vm.ask("GET", "/.well-known/openid-configuration")
  expect(body).toMatchObject({
    jwks_uri: `${base}/.well-known/jwks.json`,
    token_endpoint: `${base}/api/v1/auth/token`,
    introspection_endpoint: `${base}/api/v1/auth/introspect`,
    revocation_endpoint: `${base}/api/v1/auth/revoke`,
  })
})

test("without a store both still answer, and name no endpoint that is not there", async () => {
  const config = exampleConfig({ auth: { secret: SECRET }, services: {}, routes: [] })
  const control = new ControlIdentity(config, {
    store: undefined,
    wallClock: Date.now,
    count: () => {},
    log: NO_LOG,
  })
  await control.open()
  const ask = async (path: string) => {
    const answer = await control.answer({
      kind: "request",
      request: {
        method: "GET",
        path,
        query: "",
        scheme: "https",
        host: "api.example.com",
        client: "192.0.2.1",
        requestId: "request-1",
        fields: [],
        body: undefined,
        principal: undefined,
      },
    })
    return answer?.kind === "answer" ? JSON.parse(Buffer.from(answer.body).toString()) : answer
  }
  expect(await ask("/.well-known/jwks.json")).toEqual({ keys: [] })
  const found = await ask("/.well-known/openid-configuration")
  expect(found.jwks_uri).toBe("https://api.example.com/.well-known/jwks.json")
  expect(found.token_endpoint).toBeUndefined()
  expect(await ask("/api/v1/auth/sessions")).toMatchObject({ kind: "failure", code: "NOT_FOUND" })
  control.close()
})
