import type { TlsPair } from "../../src/edge/serve.ts"
import type { Identity } from "../../src/identity/authenticated.ts"
import { LANE, type TestDoor, throughDoor } from "./doors.ts"
import { type ServedGateway, serveGateway } from "./gateway.ts"
import { type RawScript, RawUpstream } from "./raw_upstream.ts"
import { parseRequests, type ReceivedRequest, receivedBy } from "./received.ts"
import { until } from "./until.ts"

const OK = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"

export interface Edge {
  readonly served: ServedGateway
  readonly port: number
  readonly upstream: RawUpstream
  /** What the upstream got, strictly taken apart. */
  received(): ReceivedRequest[]
  close(): void
}

export interface EdgeOptions {
  /** Which door reads HTTP/1.1; the lane unless told. */
  door?: TestDoor
  /** What the upstream does with a request; default: 200 "ok". */
  script?: RawScript
  /** Further parts of the config; `routes` replaces the one that passes everything on. */
  config?: Record<string, unknown>
  /** Further keys of the service "s". */
  service?: Record<string, unknown>
  tls?: TlsPair
  identity?: Identity
}

/** A script that answers when the body has come in too. */
export function afterBody(answer: string = OK): RawScript {
  return async (connection) => {
    const whole = () => parseRequests(connection.received).every((each) => each.complete)
    await until(() => connection.closed || whole(), "the request to be whole", 60_000)
    connection.write(answer)
  }
}

/** A gateway behind a door with one service "s" on a raw upstream, and a route that passes all on. */
export function openEdge(options: EdgeOptions = {}): Edge {
  const upstream = new RawUpstream(options.script ?? ((connection) => connection.write(OK)))
  const config = {
    services: { s: { instances: [upstream.url], ejection: { max_percent: 0 }, ...options.service } },
    defaults: { request_id: {}, access_log: {} },
    routes: [{ path: "/*", service: "s" }],
    ...options.config,
  }
  const { tls, identity, door = LANE } = options
  const served = serveGateway(throughDoor(door, config), {
    ...(tls && { tls }),
    ...(identity && { identity }),
  })
  return {
    served,
    port: served.port,
    upstream,
    received: () => receivedBy(upstream),
    close() {
      served.close()
      upstream.stop()
    },
  }
}
