import { afterAll, expect, test } from "bun:test"
import { X509Certificate } from "node:crypto"
import { compileCertificateHeader, settleCertificate } from "../../src/gateway/client_certificate.ts"
import { settleClient, TrustedProxies } from "../../src/gateway/proxies.ts"
import { parseCertificate } from "../../src/identity/certificate.ts"
import { exampleConfig } from "../support/config.ts"
import { openEdge } from "../support/edge.ts"
import { makeExchange } from "../support/exchange.ts"
import { EXPIRED, type Identity, NOT_YET_VALID, Pki } from "../support/pki.ts"
import { talk } from "../support/raw_client.ts"

const pki = new Pki()
afterAll(() => pki.remove())
const authority = pki.authority("authority")
const stranger = pki.authority("stranger")
const good = pki.leaf("good", { by: authority })

const PROXY = "10.0.0.1"
const rfc9440 = ({ cert }: Identity) => `:${new X509Certificate(cert).raw.toString("base64")}:`
const escaped = ({ cert }: Identity) => encodeURIComponent(cert)

/** Compiled once from what `server` in config would say. */
function reader(server: object = {}, now: () => number = Date.now) {
  const whole = {
    trusted_proxies: [PROXY],
    client_cert_header: "Client-Cert",
    client_cert_ca: authority.certFile,
  }
  return compileCertificateHeader(exampleConfig({ server: { ...whole, ...server } }).server, now)!
}

/** The certificate the exchange has in the end. */
function settled(
  header: ReturnType<typeof reader> | undefined,
  text: string | undefined,
  { peer = PROXY, own = undefined as Identity | undefined, forwardedFor = "" } = {},
) {
  const exchange = makeExchange({
    peer,
    certificate: own && parseCertificate(own.cert),
    headers: {
      ...(text !== undefined && { "client-cert": text }),
      ...(forwardedFor !== "" && { "x-forwarded-for": forwardedFor }),
    },
  })
  settleCertificate(exchange, settleClient(exchange, new TrustedProxies([PROXY])), header)
  return exchange.certificate
}

for (const [style, write] of [
  ["RFC 9440", rfc9440],
  ["URL-encoded PEM", escaped],
] as const) {
  test(`[C-2.8] a trusted proxy passes a client's certificate on as ${style}`, () => {
    expect(settled(reader(), write(good))?.subject).toBe("CN=good")
  })
}

test("[F-64] the header of a peer that is not trusted proves nothing", () => {
  expect(settled(reader(), rfc9440(good), { peer: "192.0.2.9" })).toBeUndefined()
})

const bad: readonly (readonly [string, () => Identity])[] = [
  ["of another authority", () => pki.leaf("foreign", { by: stranger })],
  ["that signed itself under the authority's name", () => pki.leaf("self", { subject: "/CN=authority" })],
  ["that has expired", () => pki.leaf("expired", { by: authority, validity: EXPIRED })],
  ["not yet valid", () => pki.leaf("early", { by: authority, validity: NOT_YET_VALID })],
  ["for servers only", () => pki.leaf("server", { by: authority, usage: "serverAuth" })],
]
for (const [what, make] of bad) {
  test(`[F-64] a certificate ${what} in the header proves nothing`, () => {
    expect(settled(reader(), rfc9440(make()))).toBeUndefined()
  })
}

test("[F-64] text that is no certificate proves nothing", () => {
  const der = rfc9440(good)
  for (const text of [
    "",
    ":",
    "::",
    ":!!!:",
    "%",
    "%zz",
    "x".repeat(20_000),
    der.slice(0, -9),
    `${der}, ${der}`,
  ])
    expect(settled(reader(), text)).toBeUndefined()
})

test("a certificate that is kept stops counting when it expires", () => {
  let at = Date.now()
  const header = reader({}, () => at)
  expect(settled(header, rfc9440(good))).toBeDefined()
  at += 10 * 86_400_000
  expect(settled(header, rfc9440(good))).toBeUndefined()
})

test("without an authority in config the proxy's own check is believed", () => {
  const header = compileCertificateHeader(
    exampleConfig({ server: { trusted_proxies: [PROXY], client_cert_header: "X-Client" } }).server,
    Date.now,
  )!
  expect(header.name).toBe("x-client")
  expect(header.read(escaped(pki.leaf("other", { by: stranger })))?.subject).toBe("CN=other")
})

test("[F-64] the proxy's own certificate is never taken for that of a client behind it", () => {
  expect(settled(reader(), undefined, { own: good })).toBeUndefined()
  expect(settled(undefined, undefined, { own: good, forwardedFor: "1.2.3.4" })).toBeUndefined()
  expect(settled(undefined, undefined, { own: good })?.subject).toBe("CN=good")
})

test("more headers than are kept are all read right", () => {
  const header = reader()
  for (let i = 0; i < 600; i++) expect(header.read(`nonsense ${i}`)).toBeUndefined()
  expect(header.read(rfc9440(good))?.subject).toBe("CN=good")
})

test("authorities that cannot be read are an error for the operator", () => {
  expect(() => reader({ client_cert_ca: "/nowhere" })).toThrow("/nowhere does not hold any (ENOENT)")
})

test("[F-57 F-64] no service ever sees the header, whoever sent it", async () => {
  for (const trusted_proxies of [["10.9.9.9"], ["127.0.0.1"]]) {
    const server = { trusted_proxies, client_cert_header: "X-Client-Certificate" }
    const edge = openEdge({ config: { server } })
    await talk(
      edge.port,
      `GET / HTTP/1.1\r\nHost: a\r\nX-Client-Certificate: ${escaped(good)}\r\nClient-Cert: :YQ==:\r\nClient-Cert-Chain: :YQ==:\r\n\r\n`,
    )
    const [request] = edge.received()
    expect(request!.lines.filter((line) => /cert/i.test(line))).toEqual([])
    edge.close()
  }
})
