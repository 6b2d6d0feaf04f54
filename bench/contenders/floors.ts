import type { Contender } from "./contender.ts"
import { program } from "./program.ts"

const floor = (name: string, file: string): Contender => ({
  name,
  needs: process.execPath,
  kind: "floor",
  version: () => Bun.version,
  configure: (job, site) => ({ command: [process.execPath, ...program(file, job, site)] }),
})

/**
 * The least a proxy on `Bun.serve` can do: no checks, no limits, no timeouts, no errors, plain GET only. What any
 * door on `Bun.serve` costs before it does its work.
 */
export const serveFloor = floor("Bun.serve floor", "serve_floor.mjs")

/**
 * The least a proxy on the runtime's sockets can do: passes on what came in one read, to whoever is free, and what came
 * back. It reads none of it. What the lane costs before it does its work.
 */
export const byteFloor = floor("byte floor", "byte_floor.mjs")
