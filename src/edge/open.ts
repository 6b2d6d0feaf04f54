import { openCertificateDoor } from "./client_certificates.ts"
import { type Door, openServeDoor, type ServeDoorOptions } from "./serve.ts"

export interface DoorOptions extends Omit<ServeDoorOptions, "origins"> {
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number
}

/** Opens the door a configuration asks for. Throws when the port cannot be opened. */
export function openDoor(options: DoorOptions): Door {
  const { tls } = options
  return tls?.ca === undefined ? openServeDoor(options) : openCertificateDoor({ ...options, tls })
}
