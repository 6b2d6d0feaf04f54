import { AUDIENCE, ISSUER, type Tokens } from "../tokens.ts"
import { type Contender, type Site, versionOf, which } from "./contender.ts"

export const haproxy: Contender = {
  name: "HAProxy",
  needs: "haproxy",
  kind: "peer",
  version: () => versionOf("haproxy", "-v"),
  configure({ tokens, tls }, site) {
    const alpn = tls === "h2" ? "h2,http/1.1" : "http/1.1"
    const bind = tls === undefined ? "" : `ssl crt ${site.certificate.both} alpn ${alpn}`
    const config = site.write(
      "haproxy.cfg",
      `global
  nbthread 1
  maxconn 8192
  ${tokens === undefined ? "" : "log stdout format raw local0"}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:${site.port} ${bind}
  option forwardfor
  ${tokens === undefined ? "" : wholeJob(tokens, site)}
  default_backend b
backend b
  server s 127.0.0.1:${site.upstreamPort} pool-max-conn 512
${tokens === undefined ? "" : rest(site)}`,
    )
    return { command: [which("haproxy"), "-f", config] }
  },
}

/**
 * As HAProxy's own guide verifies tokens, but cheaper: the claims are decoded once for all questions, and the
 * algorithm is the config's.
 */
function wholeJob({ algorithm, verifyKey }: Tokens, { write }: Site): string {
  const key = algorithm === "HS256" ? verifyKey : write("public.pem", verifyKey)
  return `log global
  log-format '{"time":"%tr","event":"request","id":"%ID","client":"%ci","user":"%[var(txn.sub),json(utf8s)]","method":"%HM","host":"%[var(txn.host),json(utf8s)]","path":"%[capture.req.uri,json(utf8s)]","status":%ST,"bytes_in":%U,"bytes_out":%B,"duration_ms":%Ta,"upstream_ms":%Tr,"instance":"%b/%s","retries":%rc,"error":"%ts","protocol":"%HV"}'
  unique-id-format %{+X}o%ci%cp%fi%fp%Ts%rt%pid
  unique-id-header X-Request-Id
  http-request set-var(txn.host) req.hdr(host)
  http-request set-var(txn.claims) http_auth_bearer,word(2,.),ub64dec
  http-request set-var(txn.sub) var(txn.claims),json_query('$.sub')
  http-request set-var(txn.exp) var(txn.claims),json_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.claims),json_query('$.iss') -m str ${ISSUER} }
  http-request deny deny_status 401 unless { var(txn.claims),json_query('$.aud') -m str ${AUDIENCE} }
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request deny deny_status 401 unless { http_auth_bearer,jwt_verify("${algorithm}","${key}") 1 }
  http-request track-sc0 var(txn.sub) table users
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000 }
  http-after-response set-header X-Request-Id %[unique-id]`
}

const rest = ({ adminPort }: Site): string => `backend users
  stick-table type string len 64 size 100k expire 1m store http_req_rate(1s)
frontend metrics
  bind 127.0.0.1:${adminPort}
  http-request use-service prometheus-exporter if { path /metrics }
`
