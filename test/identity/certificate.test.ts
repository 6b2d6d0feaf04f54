import { afterAll, expect, test } from "bun:test"
import { X509Certificate } from "node:crypto"
import { isForClients, isWithinValidity, parseCertificate } from "../../src/identity/certificate.ts"
import { Pki } from "../support/pki.ts"

const pki = new Pki()
afterAll(() => pki.remove())
const authority = pki.authority("authority")

test("a certificate is read as plain data", () => {
  const leaf = pki.leaf("billing", {
    by: authority,
    subject: "/C=DE/O=Acme, Inc/CN=billing",
    names: "DNS:billing.example,DNS:*.b.example,URI:spiffe://acme/billing,email:ops@acme.example,IP:10.0.0.1",
  })
  const parsed = parseCertificate(leaf.cert)
  expect(parsed).toMatchObject({
    subject: "CN=billing,O=Acme\\, Inc,C=DE",
    issuer: "CN=authority",
    dns: ["billing.example", "*.b.example"],
    uris: ["spiffe://acme/billing"],
    emails: ["ops@acme.example"],
  })
  const x509 = new X509Certificate(leaf.cert)
  expect(parsed.fingerprint256).toBe(new Bun.CryptoHasher("sha256").update(x509.raw).digest("hex"))
  expect(parsed.serial).toMatch(/^[0-9a-f]{2,40}$/)
  expect(parsed.notAfter - parsed.notBefore).toBeCloseTo(2 * 86_400_000, -4)
  expect(structuredClone(parsed)).toEqual(parsed)
})

test("[F-64] no value of a subject can pose as another part of it", () => {
  const leaf = pki.leaf("odd", {
    by: authority,
    subject: '/C=DE/O=A \\+ B, "x"/OU=#lead+CN=a=b;c<d>/CN=x\nO=evil,CN=root ',
  })
  expect(parseCertificate(leaf.cert).subject).toBe(
    'CN=x\\0AO=evil\\,CN=root\\ ,OU=\\#lead+CN=a=b\\;c\\<d\\>,O=A \\+ B\\, \\"x\\",C=DE',
  )
})

test("[F-64] no alternative name can pose as several", () => {
  const leaf = pki.leaf("sneaky", {
    by: authority,
    names: `@names\n[names]\nURI.1=spiffe://x/y\\, DNS:evil.example\nDNS.1=good.example\nemail.1="a,URI:spiffe://z"@b`,
  })
  const { dns, uris, emails } = parseCertificate(leaf.cert)
  expect(dns).toEqual(["good.example"])
  expect(uris).toEqual([])
  expect(emails.filter((name) => name.startsWith("URI"))).toEqual([])
})

test("validity includes both ends", () => {
  const parsed = parseCertificate(pki.leaf("timed", { by: authority }).cert)
  expect(isWithinValidity(parsed, parsed.notBefore)).toBe(true)
  expect(isWithinValidity(parsed, parsed.notBefore - 1)).toBe(false)
  expect(isWithinValidity(parsed, parsed.notAfter)).toBe(true)
  expect(isWithinValidity(parsed, parsed.notAfter + 1)).toBe(false)
})

test("[F-64] a certificate for servers only is not for clients", () => {
  const of = (name: string, usage?: string) =>
    isForClients(new X509Certificate(pki.leaf(name, { by: authority, ...(usage && { usage }) }).cert))
  expect(of("server-only", "serverAuth")).toBe(false)
  expect(of("both", "serverAuth,clientAuth")).toBe(true)
  expect(of("none")).toBe(true)
})

test("what is no certificate is an error", () => {
  expect(() => parseCertificate("nonsense")).toThrow()
})
