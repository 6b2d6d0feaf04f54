import type { X509Certificate } from "node:crypto"
import { late } from "../lib/late.ts"

/** The first certificate of a PEM file. Throws what `unreadable` explains. */
export function readCertificate(path: string): X509Certificate {
  return new late.crypto.X509Certificate(late.fs.readFileSync(path))
}

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** Every certificate of a PEM text, at least one. Throws `Error` on a text without and on a broken one. */
export function parseCertificates(text: string): readonly X509Certificate[] {
  const found = (text.match(BLOCK) ?? []).map((block) => new late.crypto.X509Certificate(block))
  if (found.length === 0) throw new Error("reading certificates: there is none")
  return found
}

/** Every certificate of a PEM file. Throws what `unreadable` explains. */
export function readCertificates(path: string): readonly X509Certificate[] {
  return parseCertificates(late.fs.readFileSync(path, "utf8"))
}

/** Why a file could not be used, for people. */
export function unreadable(error: unknown, wanted: string): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === "ENOENT") return "there is no such file"
  if (code === "EACCES") return "the file may not be read by this user"
  if (code === "EISDIR") return `is a directory; ${wanted} is wanted`
  return `the file is not ${wanted}`
}
