import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { CONTENDER_CORE, freePort, type Running, start } from "../process.ts"
import type { Tokens } from "../tokens.ts"

/** What a scenario asks every contender to do. */
export interface Job {
  /**
   * The callers of the whole job: their tokens verified, a limit for each user, a request id, a JSON access log,
   * metrics. `undefined`: plain proxying.
   */
  readonly tokens: Tokens | undefined
  /** What clients speak over TLS. `undefined`: clear text. */
  readonly tls: "http/1.1" | "h2" | undefined
}

/** Where one contender runs: its ports, and a directory of its own that goes when it stops. */
export interface Site {
  readonly port: number
  /** For metrics, where the contender wants a port of their own. */
  readonly adminPort: number
  readonly upstreamPort: number
  readonly directory: string
  /** PEM files of the certificate, of its key, and of both in one. */
  readonly certificate: { readonly cert: string; readonly key: string; readonly both: string }
  /** File the contender writes its access log to. Its standard output is this file, too. */
  readonly logFile: string
  /** Writes a file into the directory and tells its path. */
  write(name: string, text: string): string
}

export interface Launch {
  readonly command: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Cores it may run on, as taskset has them; default: that of contenders. */
  readonly cores?: string
}

/** A proxy under test: passes everything to one upstream. */
export interface Contender {
  readonly name: string
  /** Program it needs; absent ones are skipped and named. */
  readonly needs: string
  /** Gatehouse itself, a product beside it, one in JavaScript, or a bare minimum that is no product. */
  readonly kind: "ours" | "peer" | "javascript" | "floor"
  /** What of it is measured, such as "1.22.1". */
  version(): string
  /** Writes its config and tells how it is started. */
  configure(job: Job, site: Site): Launch
}

/** Programs of the administrator are not on everybody's path. */
const PATH = `${process.env.PATH}:/usr/sbin`
export const has = (program: string): boolean => Bun.which(program, { PATH }) !== null
export const which = (program: string): string => Bun.which(program, { PATH }) ?? program

/** The first number with a dot a program prints about itself; "" when there is none. */
export function versionOf(program: string, option: string): string {
  const { stdout, stderr } = Bun.spawnSync([which(program), option])
  return /\d+\.\d+[\w.-]*/.exec(`${stdout}${stderr}`)?.[0] ?? ""
}

export interface Opened {
  readonly port: number
  readonly logFile: string
  readonly process: Running
}

/** A place of its own to run at. */
export function createSite(upstreamPort: number): Site {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  return {
    port: freePort(),
    adminPort: freePort(),
    upstreamPort,
    directory,
    certificate: writeCertificate(directory),
    logFile: join(directory, "access.log"),
    write(name, text) {
      writeFileSync(join(directory, name), text)
      return join(directory, name)
    },
  }
}

/** Starts it; resolves when it listens. */
export async function openContender(contender: Contender, job: Job, upstreamPort: number): Promise<Opened> {
  const site = createSite(upstreamPort)
  const { command, env, cores } = contender.configure(job, site)
  const remove = () => rmSync(site.directory, { recursive: true, force: true })
  const starting = start(command, site.port, cores ?? CONTENDER_CORE, env, site.logFile)
  const running = await starting.catch((error: unknown) => {
    remove()
    throw error
  })
  return {
    port: site.port,
    logFile: site.logFile,
    process: {
      pids: running.pids,
      async stop() {
        await running.stop()
        remove()
      },
    },
  }
}

/** ECDSA on P-256: what a certificate of today is. */
function writeCertificate(directory: string): Site["certificate"] {
  const [cert, key, both] = ["cert.pem", "key.pem", "both.pem"].map((name) => join(directory, name))
  const made = Bun.spawnSync([
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
    ...["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"],
    ...["-keyout", key!, "-out", cert!],
  ])
  if (made.exitCode !== 0) throw new Error(`making a certificate: ${made.stderr}`)
  const joined = Bun.spawnSync(["cat", cert!, key!])
  writeFileSync(both!, joined.stdout)
  return { cert: cert!, key: key!, both: both! }
}
