import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { redactConfig } from "../../src/admin/redact_config.ts"
import { parseConfig } from "../../src/config/load.ts"
import { generateKey } from "../../src/identity/keys.ts"

const directory = mkdtempSync(join(tmpdir(), "gatehouse-check-auth-"))
writeFileSync(join(directory, "es256.pem"), generateKey("ES256"))
writeFileSync(join(directory, "text.pem"), "no key")
afterAll(() => rmSync(directory, { recursive: true }))

const SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"
const load = (text: string) => parseConfig(text, "yaml", {}, directory)
function findings(text: string) {
  const loaded = load(text)
  const lines = (list: readonly { path: string; message: string }[]) =>
    list.map((each) => `${each.path}: ${each.message}`)
  return { problems: loaded.ok ? [] : lines(loaded.problems), warnings: lines(loaded.warnings) }
}
const ROUTES = "\nroutes: [{ path: /, respond: {} }]"
/** Problems of a section `auth` with a secret and these keys. */
const auth = (keys: string, more = "") =>
  findings(`auth: { secret: ${SECRET}, ${keys} }\n${more}${ROUTES}`).problems
const route = (keys: string, section = `secret: ${SECRET}`) =>
  findings(`auth: { ${section} }\nroutes: [{ path: "/:id", respond: {}, auth: { ${keys} } }]`)

const ISSUER = (keys: string) => `issuers: [{ audience: [api], ${keys} }]`
const STORE = "store: 'sqlite::memory:'"

test("a mail server that is none is refused", () => {
  const mail =
    'mail: { smtp: "mail.example:25", from: a@b.c, reset_url: "https://a/{token}", verify_url: "https://a/{token}" }'
  expect(auth(mail, STORE)).toEqual(["auth.mail.smtp: must be smtp://host:port or smtps://host:port"])
})

describe("a section auth that is refused", () => {
  const cases: [name: string, keys: string, wanted: string][] = [
    [
      "long access tokens",
      "access_token_ttl: 25h",
      "auth.access_token_ttl: must be more than 0 and at most 24h",
    ],
    ["no access tokens", "access_token_ttl: 0", "auth.access_token_ttl: must be more than 0 and at most 24h"],
    [
      "a mail without its token",
      'mail: { smtp: "smtp://mail.example", from: a@b.c, reset_url: "https://a/", verify_url: "https://a/{token}" }',
      "auth.mail.reset_url: expected text that matches \\{token\\}",
    ],
    ["a wide leeway", "leeway: 61s", "auth.leeway: must be at most 60s"],
    ["a long grace", "refresh_grace: 6m", "auth.refresh_grace: must be at most 5m"],
    [
      "a short audit record",
      "audit_retention: 23h",
      "auth.audit_retention: must be at least 1d and at most 36600d",
    ],
    [
      "sign-ins of no life",
      "refresh_token_max_life: 0",
      "auth.refresh_token_max_life: must be more than 0 and at most 3660d",
    ],
    [
      "a key without anything",
      "keys: [{ alg: ES256 }]",
      "auth.keys[0]: needs file, or for an HS… algorithm secret",
    ],
    [
      "a key with both",
      `keys: [{ alg: HS256, secret: ${SECRET}, file: es256.pem }]`,
      "auth.keys[0]: has both file and secret; keep one",
    ],
    [
      "[F-51] a secret for an asymmetric algorithm",
      `keys: [{ alg: ES256, secret: ${SECRET} }]`,
      "auth.keys[0].secret: ES256 needs a PEM file; a secret is for HS256, HS384 and HS512",
    ],
    [
      "[F-51] a PEM file for HMAC",
      "keys: [{ alg: HS256, file: es256.pem }]",
      "auth.keys[0].file: HS256 needs secret, not a PEM file",
    ],
    [
      "a file that is not there",
      "keys: [{ alg: ES256, file: none.pem }]",
      "auth.keys[0].file: cannot be read: ENOENT",
    ],
    [
      "a key of another algorithm",
      "keys: [{ alg: RS256, file: es256.pem }]",
      "auth.keys[0].file: is not an RSA key, which RS256 needs",
    ],
    [
      "two keys with one id",
      `keys: [{ kid: a, alg: HS256, secret: ${SECRET} }, { kid: a, alg: ES256, file: es256.pem }]`,
      "auth.keys[1].file: has the same kid as auth.keys[0]; give each key its own",
    ],
    [
      "the own issuer among the others",
      ISSUER("issuer: gatehouse, jwks: 'https://a/jwks'"),
      "auth.issuers[0].issuer: is the gateway's own, auth.issuer",
    ],
    [
      "[F-51] keys over plain http",
      ISSUER("issuer: 'http://id.example.com'"),
      "auth.issuers[0].issuer: must be https; http is for loopback only",
    ],
    [
      "an issuer whose keys cannot be found",
      ISSUER("issuer: accounts"),
      "auth.issuers[0].issuer: is no https URL, so its keys cannot be fetched; set jwks",
    ],
    [
      "[F-69] keys of a file",
      ISSUER("issuer: a, jwks: 'file:///etc/passwd'"),
      "auth.issuers[0].jwks: is no https URL, so its keys cannot be fetched; set jwks",
    ],
    [
      "[F-51] a secret shared with an issuer",
      ISSUER("issuer: 'https://a', algorithms: [RS256, HS256]"),
      "auth.issuers[0].algorithms[1]: HS256 would let everybody who can verify sign too; use RS256 or ES256",
    ],
    [
      "a role that includes an unknown one",
      "roles: { user: {}, admin: { includes: [usr] } }",
      'auth.roles.admin.includes[0]: unknown role "usr"; did you mean "user"?',
    ],
    [
      "a role whose name is none",
      'roles: { "My role": {} }',
      'auth.roles["My role"]: a name is letters, digits and - _ . :, at most 64, and starts with a letter; My-role would do',
    ],
    [
      "registration with an unknown role",
      "registration: { role: usr }",
      'auth.registration.role: unknown role "usr"; did you mean "user"?',
    ],
    [
      "a certificate that fits nothing",
      "certificates: [{ id: a }]",
      "auth.certificates[0]: fits no certificate; give subject, dns, uri or fingerprint",
    ],
    [
      "two entries for one certificate",
      "certificates: [{ id: a, dns: a.example }, { id: b, dns: A.example }]",
      "auth.certificates[1]: asks for the same as auth.certificates[0]",
    ],
    [
      "a fingerprint that is none",
      "certificates: [{ id: a, fingerprint: 'ab:cd' }]",
      "auth.certificates[0].fingerprint: is no SHA-256 in hex: 64 digits, with or without colons",
    ],
    [
      "a place to return to that is no origin",
      "session: { return_to: ['https://a.example/path'] }",
      'auth.session.return_to[0]: "https://a.example/path" is not an origin; write scheme, host and port as in "https://app.example.com"',
    ],
    [
      "any place to return to",
      "session: { return_to: ['*'] }",
      "auth.session.return_to[0]: must be one plain origin",
    ],
    [
      "a public address with a path",
      "public_url: 'https://a.example/gate'",
      'auth.public_url: "https://a.example/gate" is not an origin; write scheme, host and port as in "https://app.example.com"',
    ],
    [
      "a public address in plain http",
      "public_url: 'http://a.example'",
      "auth.public_url: must begin with https://, unless auth.https is off",
    ],
    ["any public address", "public_url: '*'", "auth.public_url: must be one plain origin"],
    [
      "registration without a store",
      "registration: { enabled: true }",
      "auth.registration: needs store, where accounts are kept",
    ],
  ]
  for (const [name, keys, wanted] of cases) {
    test(name, () => expect(auth(keys)).toEqual([wanted]))
  }

  test("roles in a circle", () => {
    expect(auth("roles: { user: { includes: [admin] }, admin: { includes: [user] } }")).toEqual([
      "auth.roles.user.includes: the role includes itself, perhaps by others",
      "auth.roles.admin.includes: the role includes itself, perhaps by others",
    ])
  })

  test("nothing by which anybody could prove anything", () => {
    expect(findings(`auth: {}${ROUTES}`).problems).toEqual([
      "auth: nobody could prove anything: give secret or keys, issuers, certificates, or a store for API keys",
    ])
    expect(findings(`${STORE}\nauth: {}${ROUTES}`).problems).toEqual([])
  })

  test("tokens for services, or accounts, without a key to sign with", () => {
    const issuers = ISSUER("issuer: 'https://id.example.com'")
    const needs = "needs a key that can sign: auth.secret, or a private key in auth.keys"
    expect(findings(`auth: { ${issuers}, forward: jwt }${ROUTES}`).problems).toEqual([
      `auth.forward: jwt ${needs}`,
    ])
    const providers = "providers: { google: { issuer: 'https://g', client_id: a } }"
    expect(findings(`${STORE}\nauth: { ${issuers}, ${providers} }${ROUTES}`).problems).toEqual([
      `auth.providers: ${needs}`,
    ])
  })
})

test("a store that is none is refused without its password", () => {
  const { problems } = findings(`store: "postgres://u:hunter2@host:port/db"${ROUTES}`)
  expect(problems).toEqual(["store: not a URL; in a password, @ : / are written %40 %3A %2F"])
  expect(JSON.stringify(load(`store: "mysql://u:hunter2@host/db"${ROUTES}`))).not.toContain("hunter2")
  expect(JSON.stringify(load(`store: "mysql://host/db?password=hunter2"${ROUTES}`))).not.toContain("hunter2")
})

describe("a route that asks for what is not there", () => {
  const cases: [keys: string, wanted: string][] = [
    ["roles: [admn]", 'routes[0].auth.roles[0]: unknown role "admn"; did you mean "admin"?'],
    ["tiers: [premum]", 'routes[0].auth.tiers[0]: unknown tier "premum"; did you mean "premium"?'],
    ["owner: path.user == principal.id", 'routes[0].auth: owner: the path of the route has no "user"'],
  ]
  for (const [keys, wanted] of cases) test(keys, () => expect(route(keys).problems).toEqual([wanted]))

  test("permissions no role gives", () => {
    const roles = "roles: { user: { permissions: ['stories:write'] } }"
    expect(route("permissions: ['story:write']", `secret: ${SECRET}, ${roles}`).problems).toEqual([
      'routes[0].auth.permissions[0]: no role gives "story:write"; did you mean "stories:write"?',
    ])
  })

  test("scopes are a warning: keys and clients may have any", () => {
    const { problems, warnings } = route("scopes: [reed]")
    expect([problems, warnings]).toEqual([
      [],
      ['routes[0].auth.scopes[0]: no role gives the scope "reed"; did you mean "read"?'],
    ])
  })

  test("roles of another issuer need not be known here", () => {
    const issuers = ISSUER("issuer: 'https://id.example.com'")
    expect(route("roles: [staff], scopes: [reed]", issuers)).toEqual({ problems: [], warnings: [] })
  })

  test("a caller, where there is no section auth", () => {
    expect(findings("routes: [{ path: /, respond: {}, auth: {} }]").problems).toEqual([
      "routes[0].auth: there is no section auth, so nobody could ever be let in; add auth: { secret: … }",
    ])
  })
})

test("[I-auth] with a section auth every route needs a caller unless it says otherwise", () => {
  const loaded = load(`auth: { secret: ${SECRET} }${ROUTES}`)
  expect(loaded.ok && loaded.config.defaults.auth?.required).toBe(true)
})

test("files of keys and of the store start from the directory of the config", () => {
  const keys = "keys: [{ alg: ES256, file: es256.pem }]"
  const loaded = load(`store: sqlite:./data/x.db\nauth: { ${keys} }${ROUTES}`)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  expect(loaded.config.auth?.keys[0]?.file).toBe(join(directory, "es256.pem"))
  expect(loaded.config.store).toBe(`sqlite:${join(directory, "data/x.db")}`)
})

describe("secrets", () => {
  const HIDDEN = "hunter2-hunter2-hunter2-hunter2-x"
  const text = `
store: "postgres://u:${HIDDEN}@db.example/gatehouse?sslpassword=${HIDDEN}&application_name=gw"
auth:
  secret: ${HIDDEN}
  access_token_ttl: 20m
  keys: [{ alg: HS256, kid: visible-kid, secret: "${HIDDEN}" }]
  providers: { google: { issuer: "https://g.example", client_id: visible-id, client_secret: ${HIDDEN} } }
  mail: { smtp: "smtps://u:${HIDDEN}@mail.example", from: a@b.c, reset_url: "https://a/{token}", verify_url: "https://a/{token}" }
${ROUTES}`

  test("are not in the view of the config, and what only sounds like one is", () => {
    const loaded = load(text)
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    const view = JSON.stringify(redactConfig(loaded.config))
    expect(view).not.toContain("hunter2")
    for (const visible of [
      "visible-kid",
      "visible-id",
      "db.example",
      "application_name=gw",
      '"gh_session"',
      "1200",
    ])
      expect(view).toContain(visible)
  })

  test("are not in a problem, wherever it is", () => {
    const broken = text
      .replaceAll(HIDDEN, "hunter2")
      .replace("20m", "hunter2 minutes")
      .replace("smtps:", "x y:")
    const loaded = load(broken)
    expect(loaded.ok).toBe(false)
    const shown = JSON.stringify(loaded).replace('"\\"hunter2 minutes\\""', "")
    expect(shown).not.toContain("hunter2")
  })
})
