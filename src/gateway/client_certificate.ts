import type { X509Certificate } from "node:crypto"
import { parseCertificates } from "../config/pem.ts"
import type { ServerConfig } from "../config/schema.ts"
import {
  type ClientCertificate,
  isForClients,
  isWithinValidity,
  parseCertificate,
} from "../identity/certificate.ts"
import { late } from "../lib/late.ts"
import type { Exchange } from "../upstream/exchange.ts"

/** The certificate of a client as a trusted proxy passes it on in a header. */
export interface CertificateHeader {
  /** Its name in lower case. */
  readonly name: string
  /** What the header's text proves now; `undefined`: nothing. */
  read(text: string): ClientCertificate | undefined
}

/** Headers whose certificate is kept; beyond, the one kept longest makes room. */
const MAX_KEPT = 256
/** A longer header is no certificate in everyday use. */
const MAX_CHARS = 16_384
/** RFC 9440 section 2.2: a byte sequence of structured fields (RFC 8941 section 3.3.5). */
const BYTE_SEQUENCE = /^:([A-Za-z0-9+/]+={0,2}):$/

/**
 * Reads the authorities. `undefined` where config names no header. Throws `Error` for the operator when the
 * authorities cannot be read. `wallClock`: milliseconds, for the validity of certificates.
 */
export function compileCertificateHeader(
  server: ServerConfig,
  wallClock: () => number,
): CertificateHeader | undefined {
  const name = server.client_cert_header?.toLowerCase()
  if (name === undefined) return undefined
  const file = server.client_cert_ca ?? server.tls?.client_ca
  const authorities = file === undefined ? undefined : readAuthorities(file)
  const kept = new Map<string, ClientCertificate | undefined>()
  return {
    name,
    read(text) {
      let certificate = kept.get(text)
      if (certificate === undefined && !kept.has(text)) {
        if (text.length > MAX_CHARS) return undefined
        certificate = prove(text, authorities)
        if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value!)
        kept.set(text, certificate)
      }
      return certificate !== undefined && isWithinValidity(certificate, wallClock()) ? certificate : undefined
    },
  }
}

/**
 * Settles which certificate is the client's, after `settleClient`. Where a trusted proxy passes certificates
 * on, the header alone counts; the proxy's own certificate is never taken for that of the clients behind it.
 * The header goes to no service. `trusted`: the peer is a trusted proxy.
 */
export function settleCertificate(
  exchange: Exchange,
  trusted: boolean,
  header: CertificateHeader | undefined,
): void {
  const text = header === undefined ? undefined : exchange.header(header.name)
  if (text !== undefined) exchange.requestEdits.drop(header!.name)
  if (!trusted) return
  if (header !== undefined) exchange.certificate = text === undefined ? undefined : header.read(text)
  else if (exchange.client !== exchange.arrival.peer) exchange.certificate = undefined
}

function readAuthorities(file: string): readonly X509Certificate[] {
  try {
    return parseCertificates(late.fs.readFileSync(file, "utf8"))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Error(
      `reading the authorities of client certificates: ${file} does not hold any (${code ?? "no PEM"})`,
    )
  }
}

/** Signed by one of the authorities itself: a chain with intermediates is not looked for. */
function prove(
  text: string,
  authorities: readonly X509Certificate[] | undefined,
): ClientCertificate | undefined {
  try {
    const sequence = BYTE_SEQUENCE.exec(text)
    // URL-encoded PEM, as nginx's $ssl_client_escaped_cert; a plus stands for itself there.
    const x509 = new late.crypto.X509Certificate(
      sequence === null ? decodeURIComponent(text) : Buffer.from(sequence[1]!, "base64"),
    )
    if (!isForClients(x509)) return undefined
    if (authorities !== undefined && !authorities.some((each) => isIssuedBy(x509, each))) return undefined
    return parseCertificate(x509)
  } catch {
    // No certificate: it proves nothing.
    return undefined
  }
}

function isIssuedBy(x509: X509Certificate, authority: X509Certificate): boolean {
  return x509.checkIssued(authority) && x509.verify(authority.publicKey)
}
