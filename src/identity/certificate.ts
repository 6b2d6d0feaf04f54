import type { X509Certificate } from "node:crypto"
import { late } from "../lib/late.ts"

/** What a verified client certificate says of its holder. Plain data: it can be posted to another thread. */
export interface ClientCertificate {
  /** RFC 4514 form, most specific part first, e.g. "CN=billing,O=Acme\, Inc"; "" where only the names count. */
  readonly subject: string
  /** Subject of the authority that signed it, in the same form. */
  readonly issuer: string
  /** Lower-case hexadecimal, unique for each issuer. */
  readonly serial: string
  /** SHA-256 of the whole certificate (DER), 64 lower-case hexadecimal digits. */
  readonly fingerprint256: string
  /** DNS names, URIs (SPIFFE ids among them) and mail addresses of the subject alternative name, as written. */
  readonly dns: readonly string[]
  readonly uris: readonly string[]
  readonly emails: readonly string[]
  /** Milliseconds of the wall clock from when and until when it is valid, both included. */
  readonly notBefore: number
  readonly notAfter: number
}

/** Names of one kind beyond these are not read. */
const MAX_NAMES = 100

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
const ANY_USAGE = "2.5.29.37.0"

/** `text`: PEM. Throws `Error` on what is no certificate. Says nothing of whether it can be trusted. */
export function parseCertificate(from: X509Certificate | string): ClientCertificate {
  const x509 = typeof from === "string" ? new late.crypto.X509Certificate(from) : from
  const names = alternativeNames(x509.subjectAltName ?? "")
  return Object.freeze({
    subject: distinguishedName(x509.subject),
    issuer: distinguishedName(x509.issuer),
    serial: x509.serialNumber.toLowerCase(),
    fingerprint256: x509.fingerprint256.replaceAll(":", "").toLowerCase(),
    dns: Object.freeze(names.DNS),
    uris: Object.freeze(names.URI),
    emails: Object.freeze(names.email),
    notBefore: Date.parse(x509.validFrom),
    notAfter: Date.parse(x509.validTo),
  })
}

/** `at`: milliseconds of the wall clock. */
export function isWithinValidity(certificate: ClientCertificate, at: number): boolean {
  return at >= certificate.notBefore && at <= certificate.notAfter
}

/** Whether its extended key usage (RFC 5280 section 4.2.1.12), if it has one, allows it for clients. */
export function isForClients(x509: X509Certificate): boolean {
  // The type promises an array; without the extension it is null or undefined.
  const usages = x509.keyUsage as readonly string[] | null | undefined
  return !usages || usages.includes(CLIENT_AUTH) || usages.includes(ANY_USAGE)
}

/**
 * The runtime writes one part a line, in encoded order, with values escaped as RFC 4514 wants (line breaks
 * too, so a value cannot pretend to be a part of its own); the RFC's order is the reverse.
 */
function distinguishedName(lines: string | undefined): string {
  if (!lines) return ""
  return lines.split("\n").reverse().join(",").replaceAll(" + ", "+")
}

/** One name; a value that holds a comma, quotes or control characters is written as a JSON string. */
const NAME = /(DNS|URI|email|[^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y
/** IA5 without controls and spaces: what such a name is made of. */
const VISIBLE = /^[\x21-\x7e]+$/

function alternativeNames(text: string): Record<"DNS" | "URI" | "email", string[]> {
  const names = { DNS: [] as string[], URI: [] as string[], email: [] as string[] }
  NAME.lastIndex = 0
  while (NAME.lastIndex < text.length) {
    const found = NAME.exec(text)
    // What cannot be read ends the reading: nothing after it could be told apart from a part of it.
    if (found === null) break
    const [, kind, written = ""] = found
    if (kind !== "DNS" && kind !== "URI" && kind !== "email") continue
    const value = written.startsWith('"') ? (JSON.parse(written) as string) : written
    if (VISIBLE.test(value) && names[kind].length < MAX_NAMES) names[kind].push(value)
  }
  return names
}
