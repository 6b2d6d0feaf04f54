import { join } from "node:path"
import { AUDIENCE, ISSUER } from "../tokens.ts"
import type { Job, Site } from "./contender.ts"

/** A program of programs/ and its one argument: the settings it reads. */
export function program(
  file: string,
  { tokens }: Job,
  { port, adminPort, upstreamPort, logFile }: Site,
): readonly [file: string, settings: string] {
  const job = tokens && {
    algorithm: tokens.algorithm,
    verifyKey: tokens.verifyKey,
    issuer: ISSUER,
    audience: AUDIENCE,
    logFile,
    metricsPort: adminPort,
  }
  return [join(import.meta.dir, "programs", file), JSON.stringify({ port, upstreamPort, job })]
}
