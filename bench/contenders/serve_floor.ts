import type { Contender } from "./contender.ts"
import { program } from "./program.ts"

/**
 * The least a proxy on `Bun.serve` can do: no checks, no limits, no timeouts, no errors, plain GET only. What any
 * door on `Bun.serve` costs before it does its work.
 */
export const serveFloor: Contender = {
  name: "Bun.serve floor",
  needs: process.execPath,
  kind: "floor",
  version: () => Bun.version,
  configure: (job, site) => ({ command: [process.execPath, ...program("serve_floor.mjs", job, site)] }),
}
