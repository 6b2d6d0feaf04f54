import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import { Duration, Size } from "../lib/units.ts"

/** Bytes of the largest message the runtime's WebSocket client takes. */
export const MAX_WEBSOCKET_MESSAGE = 128 * 1024 * 1024

/** The section `server.websocket`. */
export const WebsocketSchema = strictObject(
  {
    max_message: Size({
      default: "16MB",
      description:
        "Largest message either way (at most 128MB), counted inflated; beyond it both ends are closed with 1009.",
    }),
    idle_timeout: Duration({
      default: "5m",
      description:
        "Both ends are closed with 1001 after this long without a message or a ping of theirs; 0: never.",
    }),
    max_connections: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 10_000,
      description: "Connections relayed at a time by each worker; 503 beyond.",
    }),
    compression: Type.Boolean({
      default: false,
      description:
        "Take clients' offers of `permessage-deflate` (RFC 7692), on relayed WebSockets and those of channels. Messages from 1 KB to 2 MB are compressed for them, published ones only up to 2 MB times the sockets of a worker they go to, and theirs may be; services get and send all as it is. Who offers it is served by the runtime and takes 14 KB instead of 5. Each is compressed by itself, so a socket needs no more memory (a window of its own would take 230 KB). It costs 8 ms of CPU for each MB of JSON sent, up to 30 ms for noise, and what a client sends may be a thousand times larger inflated: choose `max_message` accordingly. Leave it off where one message holds both secrets and text others choose: the length of what is compressed tells about them (CRIME, BREACH).",
    }),
  },
  {
    default: {},
    description:
      "WebSockets of routes with `websocket: relay`; `max_message` and `compression` hold for those of channels, too.",
  },
)
