import { BINARY } from "../gateway.ts"
import { AUDIENCE, ISSUER, type Tokens } from "../tokens.ts"
import { type Contender, type Site, versionOf } from "./contender.ts"

/** The compiled binary. `server`: settings that make this one different; one worker unless they say otherwise. */
export function gatehouse(name: string, server: object = {}, cores?: string): Contender {
  return {
    name,
    needs: BINARY,
    kind: "ours",
    version: () => versionOf(BINARY, "version"),
    configure({ tokens, tls }, site) {
      const { port, adminPort, upstreamPort, certificate, write } = site
      const up = {
        instances: [`http://127.0.0.1:${upstreamPort}`],
        pool: { max_connections: 1024, max_idle: 1024 },
      }
      const config = {
        server: {
          host: "127.0.0.1",
          port,
          workers: 1,
          drain_delay: 0,
          ...(tls !== undefined && {
            tls: { cert: certificate.cert, key: certificate.key },
            http2: tls === "h2",
          }),
          ...server,
        },
        admin: { port: adminPort, token: "benchmark-token-0123456789" },
        log: { level: "warn" },
        services: { up },
        routes: [{ path: "/*", service: "up" }],
        ...(tokens !== undefined && wholeJob(tokens, site)),
      }
      const file = write("gatehouse.json", JSON.stringify(config))
      const command = [BINARY, "serve", "-c", file]
      return cores === undefined ? { command } : { command, cores }
    },
  }
}

function wholeJob({ algorithm, verifyKey }: Tokens, { write }: Site): object {
  const key =
    algorithm === "HS256"
      ? { secret: verifyKey }
      : { keys: [{ alg: algorithm, file: write("public.pem", verifyKey) }] }
  return {
    auth: { issuer: ISSUER, audience: AUDIENCE, ...key },
    defaults: { request_id: {}, access_log: {}, rate_limit: { by: "user", rate: "100000/s" } },
  }
}
