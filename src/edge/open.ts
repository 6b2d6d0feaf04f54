import { type FrontDoorOptions, openFrontDoor } from "./front.ts"
import { type Door, openServeDoor } from "./serve.ts"

export type DoorOptions = Omit<FrontDoorOptions, "origins">

/**
 * Opens the door a configuration asks for: the Serve door alone where it is to speak HTTP/2 or the lane is off, the
 * front door otherwise and where clients show certificates. Throws when the port cannot be opened.
 */
export function openDoor(options: DoorOptions): Door {
  const { tls, server } = options
  if (tls?.ca !== undefined) return openFrontDoor(options)
  const http2 = tls !== undefined && server.http2
  return server.lane && !http2 ? openFrontDoor(options) : openServeDoor(options)
}
