import type { RequestHead } from "../../http1/request_head.ts"
import { writeResponseHead } from "../../http1/response_head.ts"
import type { FrameRelay } from "../../realtime/frame_relay.ts"
import type { Exchange } from "../../upstream/exchange.ts"
import type { RawSocket } from "../raw_socket.ts"
import { LaneArrival, type LaneWay } from "./arrival.ts"
import type { Intake } from "./intake.ts"
import type { LaneOwner } from "./owner.ts"

const head = Buffer.allocUnsafe(65_536)

/**
 * Whether the lane itself takes a request that wants another protocol: a WebSocket on a route that passes it on to a
 * service. What it does not speak, and endpoints of the gateway's own, are another door's.
 */
export function takesUpgrade(request: RequestHead, way: LaneWay, owner: LaneOwner): boolean {
  const { fields } = request
  if (fields.get("upgrade")?.toLowerCase() !== "websocket" || fields.close) return false
  if (fields.contentLength !== undefined || fields.chunked) return false
  if (owner.compresses && fields.get("sec-websocket-extensions") !== undefined) return false
  return owner.gateway.relays(new LaneArrival(request, undefined, way, 0))
}

/**
 * Answers 101 and gives the connection to the relay of `exchange.socket`, with what the client has sent ahead. False:
 * the answer cannot be written, and the exchange has another one.
 */
export function switchOver(exchange: Exchange, socket: RawSocket, intake: Intake, owner: LaneOwner): boolean {
  const { handler, refused } = exchange.socket!
  const relay = handler as FrameRelay
  let end: number
  try {
    end = writeSwitch(exchange, owner.dateLine)
  } catch (error) {
    refused()
    exchange.socket = undefined
    owner.unwritable(exchange, error)
    return false
  }
  socket.data = relay.client
  // A relay that waited for too long has given up.
  if (!relay.start(socket, Buffer.from(head.subarray(0, end)), intake.take())) socket.terminate()
  return true
}

/** Throws for a line that cannot be written. */
function writeSwitch({ answer, responseEdits }: Exchange, dateLine: string): number {
  const { status, fields } = answer!
  const date = fields.has("date") ? "" : dateLine
  const own = `connection: Upgrade\r\nupgrade: websocket\r\n${date}`
  return writeResponseHead(head, 0, status, fields, responseEdits, own)
}
