import { type Contender, versionOf, which } from "./contender.ts"

export const caddy: Contender = {
  name: "Caddy",
  needs: "caddy",
  kind: "peer",
  version: () => versionOf("caddy", "version"),
  configure({ tls }, { port, upstreamPort, directory, certificate, write }) {
    const scheme = tls === undefined ? "http" : "https"
    const config = write(
      "Caddyfile",
      `{
  admin off
  auto_https off
  log {
    output discard
  }
  servers {
    protocols ${tls === "h2" ? "h1 h2" : "h1"}
  }
}
${scheme}://127.0.0.1:${port} {
  ${tls === undefined ? "" : `tls ${certificate.cert} ${certificate.key}`}
  reverse_proxy 127.0.0.1:${upstreamPort} {
    transport http {
      keepalive_idle_conns_per_host 512
    }
  }
}
`,
    )
    const command = [which("caddy"), "run", "--config", config, "--adapter", "caddyfile"]
    return { command, env: { GOMAXPROCS: "1", HOME: directory } }
  },
}
