import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"

/** The first certificate of a PEM file. Throws what `unreadable` explains. */
export function readCertificate(path: string): X509Certificate {
  return new X509Certificate(readFileSync(path))
}

/** The private key of a PEM file. Throws what `unreadable` explains. */
export function readPrivateKey(path: string): KeyObject {
  return createPrivateKey(readFileSync(path))
}

/** Why a file could not be used, for people. */
export function unreadable(error: unknown, wanted: string): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === "ENOENT") return "there is no such file"
  if (code === "EACCES") return "the file may not be read by this user"
  if (code === "EISDIR") return `is a directory; ${wanted} is wanted`
  return `the file is not ${wanted}`
}
