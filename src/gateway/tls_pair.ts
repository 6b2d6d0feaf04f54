import type { TlsConfig } from "../config/schema.ts"
import { readTlsFiles } from "../config/tls_files.ts"
import type { PemPair } from "./protocol.ts"

/**
 * Reads certificate, key and the authorities of clients and makes sure they can work, so that what cannot never
 * reaches a listener. Throws `Error` with a message for the operator.
 */
export function readTlsPair(config: TlsConfig): PemPair {
  const { cert, key, authorities, faults } = readTlsFiles(config)
  const [fault] = faults
  if (fault !== undefined)
    throw new Error(`reading TLS files: server.tls.${fault.setting} ${fault.file}: ${fault.message}`)
  const pair = { cert: cert!.text, key: key!.text }
  return authorities === undefined ? pair : { ...pair, ca: authorities.text }
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
