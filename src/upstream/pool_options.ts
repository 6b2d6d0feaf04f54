import { late } from "../lib/late.ts"
import type { PoolOptions } from "./pool.ts"
import type { ServiceConfig } from "./service.ts"

/** What a service's config says of its connections. Reads the file of authorities; throws when it cannot. */
export function toPoolOptions(name: string, config: ServiceConfig): PoolOptions {
  const { tls } = config
  return {
    pool: config.pool,
    maxHeadBytes: config.max_response_header,
    tls:
      tls === undefined
        ? undefined
        : {
            ca: tls.ca === undefined ? undefined : readAuthorities(name, tls.ca),
            serverName: tls.server_name,
            rejectUnauthorized: tls.verify,
          },
  }
}

function readAuthorities(name: string, file: string): string {
  try {
    return late.fs.readFileSync(file, "utf8")
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`Reading services.${name}.tls.ca: ${reason}; a PEM file of certificates would do.`)
  }
}
