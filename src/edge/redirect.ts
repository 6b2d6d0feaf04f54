import type { Server } from "bun"
import { ServeArrival } from "./serve_arrival.ts"

/** A plain port that sends every request to https, keeping method and body (308). */
export function openRedirect(hostname: string, port: number, securePort: number): Server<undefined> {
  const suffix = securePort === 443 ? "" : `:${securePort}`
  return Bun.serve({
    hostname,
    port,
    reusePort: true,
    development: false,
    fetch(request) {
      const arrival = new ServeArrival(request, "", PLAIN, performance.now.bind(performance))
      if (arrival.fault !== "") return new Response(null, { status: 400, headers: { connection: "close" } })
      const host = arrival.host.replace(/:\d+$/, "")
      const query = arrival.query === "" ? "" : `?${arrival.query}`
      return new Response(null, {
        status: 308,
        headers: { location: `https://${host}${suffix}${arrival.path}${query}` },
      })
    },
  })
}

const PLAIN = { secure: false, http2: false, origin: undefined }
