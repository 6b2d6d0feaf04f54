import { createPrivateKey, X509Certificate } from "node:crypto"
import { readFile } from "node:fs/promises"
import { parseCertificates } from "../config/pem.ts"
import type { TlsConfig } from "../config/schema.ts"
import type { PemPair } from "./protocol.ts"

/**
 * Reads certificate, key and the authorities of clients and makes sure they can work, so that what cannot never
 * reaches a listener. Throws `Error` with a message for the operator.
 */
export async function readTlsPair(config: TlsConfig): Promise<PemPair> {
  const cert = await readPem(config.cert, "server.tls.cert")
  const key = await readPem(config.key, "server.tls.key")
  const certificate = parse(() => new X509Certificate(cert), config.cert, "a PEM certificate")
  const privateKey = parse(() => createPrivateKey(key), config.key, "an unencrypted PEM private key")
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error(
      `reading TLS files: the key in ${config.key} does not belong to the certificate in ${config.cert}`,
    )
  }
  if (config.client_ca === undefined) return { cert, key }
  const ca = await readPem(config.client_ca, "server.tls.client_ca")
  // A CA the listener cannot read would shut every client out, or, worse, let none be verified.
  parse(() => parseCertificates(ca), config.client_ca, "PEM certificates")
  return { cert, key, ca }
}

/** Files whose change means another pair. */
export function tlsFiles({ cert, key, client_ca }: TlsConfig): readonly string[] {
  return client_ca === undefined ? [cert, key] : [cert, key, client_ca]
}

/** The new pair for a running listener: whether it asks clients for certificates is fixed while the process runs. */
export function sameKind(pair: PemPair, running: PemPair): PemPair {
  const { cert, key } = pair
  const ca = running.ca === undefined ? undefined : (pair.ca ?? running.ca)
  return ca === undefined ? { cert, key } : { cert, key, ca }
}

async function readPem(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, "utf8")
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Error(`reading TLS files: ${setting} ${path} cannot be read (${code})`)
  }
}

function parse<T>(read: () => T, path: string, what: string): T {
  try {
    return read()
  } catch {
    // The parser's message is about its internals, and the file may hold a key: neither is shown.
    throw new Error(`reading TLS files: ${path} does not hold ${what}`)
  }
}
