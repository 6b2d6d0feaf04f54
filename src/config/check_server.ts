import type { X509Certificate } from "node:crypto"
import { isAddressRange } from "../lib/address_list.ts"
import { isFieldName, isReservedField } from "../policies/header_rules.ts"
import { MAX_WEBSOCKET_MESSAGE } from "../realtime/socket_settings.ts"
import type { Decoded } from "./decode.ts"
import { readCertificates, unreadable } from "./pem.ts"
import type { Report } from "./report.ts"
import type { ServerConfig, TlsConfig } from "./schema.ts"
import { readTlsFiles } from "./tls_files.ts"
import { durationText } from "./written.ts"

const LEAST_LAG_MS = 20
const LEAST_MEMORY = 32 * 1024 * 1024

export function checkServer(decoded: Decoded, report: Report): void {
  const { server, admin } = decoded.config
  if (server.keep_alive_timeout < 8000 || server.keep_alive_timeout > 255_000) {
    report.problem(["server", "keep_alive_timeout"], "must be from 8s to 255s")
  }
  const { max_message } = server.websocket
  if (max_message < 1 || max_message > MAX_WEBSOCKET_MESSAGE) {
    report.problem(["server", "websocket", "max_message"], "must be from 1B to 128MB")
  }
  const { max_lag, max_memory } = server.shedding
  if (max_lag > 0 && max_lag < LEAST_LAG_MS) {
    report.problem(
      ["server", "shedding", "max_lag"],
      "is less than any busy program needs; must be at least 20ms, or 0 for any",
      durationText(max_lag),
    )
  }
  if (max_memory !== undefined && max_memory < LEAST_MEMORY) {
    report.problem(
      ["server", "shedding", "max_memory"],
      "is less than the gateway itself needs; must be at least 32MB",
      max_memory,
    )
  }
  if (server.tls !== undefined) {
    checkTlsFiles(server.tls, report)
    if (server.http2 && server.tls.client_ca !== undefined)
      report.problem(
        ["server", "http2"],
        "cannot be had together with tls.client_ca, whose port speaks HTTP/1.1 only; leave http2 out",
      )
  } else {
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
    if (!isAddressRange(entry)) {
      report.problem(
        ["server", "trusted_proxies", i],
        "is neither an address nor a range; write 10.0.0.1 or 10.0.0.0/8",
        entry,
      )
    }
  }
  checkCertificateHeader(server, report)
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

const RFC_9440 = "client-cert"
/** Fields with a meaning of their own: dropped from every request, they would break something else. */
const IN_USE: ReadonlySet<string> = new Set([
  "authorization",
  "cookie",
  "content-type",
  "accept",
  "origin",
  "user-agent",
])

function checkCertificateHeader(server: ServerConfig, report: Report): void {
  const { client_cert_header: name, client_cert_ca: ca } = server
  if (name !== undefined) {
    if (
      name.toLowerCase() !== RFC_9440 &&
      (!isFieldName(name) || isReservedField(name) || IN_USE.has(name.toLowerCase()))
    )
      report.problem(
        ["server", "client_cert_header"],
        "cannot carry a certificate; write Client-Cert, or a name of your own such as X-Client-Certificate",
        name,
      )
    if (server.trusted_proxies.length === 0)
      report.problem(
        ["server", "client_cert_header"],
        "is believed of trusted proxies only, and there are none; set server.trusted_proxies",
      )
  }
  if (ca === undefined) return
  if (name === undefined)
    report.problem(["server", "client_cert_ca"], "has no effect without server.client_cert_header")
  checkAuthorities(["server", "client_cert_ca"], ca, report)
}

function checkAuthorities(path: readonly string[], file: string, report: Report): void {
  try {
    warnOfExpired(path, readCertificates(file), report)
  } catch (error) {
    report.problem(path, unreadable(error, "PEM certificates"), file)
  }
}

function warnOfExpired(
  path: readonly string[],
  authorities: readonly X509Certificate[],
  report: Report,
): void {
  for (const { validTo } of authorities)
    if (Date.parse(validTo) < Date.now())
      report.warning(path, `an authority has expired on ${validTo}; its certificates are refused`)
}

function checkTlsFiles(tls: TlsConfig, report: Report): void {
  const { cert, authorities, faults } = readTlsFiles(tls)
  for (const { setting, file, message } of faults)
    report.problem(["server", "tls", setting], message, setting === "key" ? undefined : file)
  if (authorities !== undefined) warnOfExpired(["server", "tls", "client_ca"], authorities.value, report)
  if (cert !== undefined && Date.parse(cert.value.validTo) < Date.now())
    report.warning(["server", "tls", "cert"], `the certificate has expired on ${cert.value.validTo}`)
}
