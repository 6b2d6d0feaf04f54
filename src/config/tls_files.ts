import type { X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { late } from "../lib/late.ts"
import { parseCertificates, unreadable } from "./pem.ts"
import type { TlsConfig } from "./schema.ts"

/** What of `server.tls` cannot be used, and why: nothing of what is in the file. */
export interface TlsFault {
  readonly setting: "cert" | "key" | "client_ca"
  readonly file: string
  readonly message: string
}

/** A PEM text, and what it says. */
interface Part<T> {
  readonly text: string
  readonly value: T
}

/** The files of `server.tls`, each `undefined` with a fault or without a setting. Without faults they work. */
export interface TlsFiles {
  readonly cert: Part<X509Certificate> | undefined
  readonly key: Part<unknown> | undefined
  readonly authorities: Part<readonly X509Certificate[]> | undefined
  readonly faults: readonly TlsFault[]
}

/** Reads certificate, key and the authorities of clients, and finds all that keeps them from working. */
export function readTlsFiles(tls: Pick<TlsConfig, "cert" | "key" | "client_ca">): TlsFiles {
  const faults: TlsFault[] = []
  function read<T>(setting: TlsFault["setting"], wanted: string, parse: (text: string) => T) {
    const file = tls[setting]
    if (file === undefined) return undefined
    try {
      const text = readFileSync(file, "utf8")
      return { text, value: parse(text) }
    } catch (error) {
      faults.push({ setting, file, message: unreadable(error, wanted) })
      return undefined
    }
  }
  const cert = read("cert", "a PEM certificate", (text) => new late.crypto.X509Certificate(text))
  const key = read("key", "a PEM private key without a passphrase", (text) =>
    late.crypto.createPrivateKey(text),
  )
  if (cert !== undefined && key !== undefined && !cert.value.checkPrivateKey(key.value)) {
    const message = "does not belong to the certificate in server.tls.cert"
    faults.push({ setting: "key", file: tls.key, message })
  }
  // A CA the listener cannot read would shut every client out, or, worse, let none be verified.
  const authorities = read("client_ca", "PEM certificates", parseCertificates)
  return { cert, key, authorities, faults }
}
