import { describe } from "bun:test"

/** Which door reads HTTP/1.1. */
export interface TestDoor {
  readonly name: string
  /** `server.lane`. */
  readonly lane: boolean
}

export const LANE: TestDoor = { name: "lane", lane: true }
export const SERVE_DOOR: TestDoor = { name: "Serve door", lane: false }

/** The tests that `define` defines, once for each door: what a client may rely on holds for both. */
export function throughBothDoors(define: (door: TestDoor) => void): void {
  for (const door of [LANE, SERVE_DOOR]) describe(door.name, () => define(door))
}

/** A config file with `server.lane` set for this door. */
export function throughDoor<File extends object>(door: TestDoor, file: File): File & { server: object } {
  const { server } = file as { server?: object }
  return { ...file, server: { ...server, lane: door.lane } }
}
