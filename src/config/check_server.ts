import type { X509Certificate } from "node:crypto"
import { isIP } from "node:net"
import type { Decoded } from "./decode.ts"
import { readCertificate, readPrivateKey, unreadable } from "./pem.ts"
import type { Report } from "./report.ts"
import { MAX_WEBSOCKET_MESSAGE, type TlsConfig } from "./schema.ts"

export function checkServer(decoded: Decoded, report: Report): void {
  const { server, admin } = decoded.config
  if (server.keep_alive_timeout < 8000 || server.keep_alive_timeout > 255_000) {
    report.problem(["server", "keep_alive_timeout"], "must be from 8s to 255s")
  }
  const { max_message } = server.websocket
  if (max_message < 1 || max_message > MAX_WEBSOCKET_MESSAGE) {
    report.problem(["server", "websocket", "max_message"], "must be from 1B to 128MB")
  }
  if (server.tls !== undefined) checkTlsFiles(server.tls, report)
  else {
    if (server.http2)
      report.problem(["server", "http2"], "browsers and clients speak HTTP/2 over TLS only; set tls")
    if (server.redirect_port !== undefined) {
      report.problem(["server", "redirect_port"], "there is nothing to redirect to without tls")
    }
  }
  if (server.redirect_port !== undefined && server.redirect_port === server.port) {
    report.problem(["server", "redirect_port"], "is the same as server.port")
  }
  if (!decoded.brokenSections.has("admin") && hostsOverlap(server.host, admin.host)) {
    if (admin.port !== 0 && admin.port === server.port) {
      report.problem(["admin", "port"], "is the same as server.port; operators need a port of their own")
    }
    if (admin.port !== 0 && admin.port === server.redirect_port) {
      report.problem(["admin", "port"], "is the same as server.redirect_port")
    }
  }
  for (const [i, entry] of server.trusted_proxies.entries()) {
    if (!isAddressOrRange(entry)) {
      report.problem(
        ["server", "trusted_proxies", i],
        "is neither an address nor a range; write 10.0.0.1 or 10.0.0.0/8",
        entry,
      )
    }
  }
  if (!isLoopback(admin.host) && admin.token === undefined && !decoded.brokenSections.has("admin")) {
    report.warning(["admin", "host"], "operators reach this from other machines: set admin.token")
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.")
}

function hostsOverlap(a: string, b: string): boolean {
  const isAny = (host: string) => host === "0.0.0.0" || host === "::" || host === ""
  return (
    a === b || isAny(a) || isAny(b) || (isLoopback(a) && isLoopback(b) && a.includes(":") === b.includes(":"))
  )
}

function isAddressOrRange(entry: string): boolean {
  const [address = "", bits, ...more] = entry.split("/")
  const version = isIP(address)
  if (version === 0 || more.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

function checkTlsFiles(tls: TlsConfig, report: Report): void {
  let certificate: X509Certificate | undefined
  try {
    certificate = readCertificate(tls.cert)
  } catch (error) {
    report.problem(["server", "tls", "cert"], unreadable(error, "a PEM certificate"), tls.cert)
  }
  try {
    const key = readPrivateKey(tls.key)
    if (certificate && !certificate.checkPrivateKey(key)) {
      report.problem(["server", "tls", "key"], "does not belong to the certificate in server.tls.cert")
    }
  } catch (error) {
    report.problem(["server", "tls", "key"], unreadable(error, "a PEM private key without a passphrase"))
  }
  if (certificate && Date.parse(certificate.validTo) < Date.now()) {
    report.warning(["server", "tls", "cert"], `the certificate has expired on ${certificate.validTo}`)
  }
}
