import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A certificate and its key, PEM texts, and the files they are in. */
export interface Identity {
  readonly cert: string
  readonly key: string
  readonly certFile: string
  readonly keyFile: string
}

export interface LeafOptions {
  /** Who signs it; without: it signs itself. */
  by?: Identity
  /** In openssl's `-subj` form; default "/CN=NAME". */
  subject?: string
  /** Alternative names in openssl's form, e.g. "DNS:a.example,URI:spiffe://a/b". */
  names?: string
  /** Whether it may sign others. */
  authority?: boolean
  /** Extended key usage, e.g. "serverAuth"; default: none. */
  usage?: string
  /** From when to when, as YYYYMMDDHHMMSSZ; default: a day around now. */
  validity?: readonly [from: string, to: string]
}

const P256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

function openssl(args: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { stdout: "ignore", stderr: "pipe" })
  if (exitCode !== 0) throw new Error(`openssl ${args[0]}: ${stderr.toString()}`)
}

const day = (offset: number): string =>
  `${new Date(Date.now() + offset * 86_400_000).toISOString().replaceAll(/[-:T]|\..*/g, "")}Z`

/** Makes authorities and certificates with openssl, in a directory that `remove` takes away. */
export class Pki {
  readonly directory = mkdtempSync(join(tmpdir(), "gatehouse-pki-"))

  authority(name: string): Identity {
    const files = this.#files(name)
    openssl([
      ...["req", "-x509", ...P256, "-keyout", files.keyFile, "-out", files.certFile, "-days", "2"],
      ...["-subj", `/CN=${name}`, "-addext", "basicConstraints=critical,CA:TRUE"],
    ])
    return this.#read(files)
  }

  leaf(name: string, { by, subject, names, authority, usage, validity }: LeafOptions = {}): Identity {
    const files = this.#files(name)
    const request = `${files.certFile}.csr`
    openssl(
      ["req", ...P256, "-utf8", "-multivalue-rdn"].concat([
        "-keyout",
        files.keyFile,
        "-out",
        request,
        "-subj",
        subject ?? `/CN=${name}`,
      ]),
    )
    const work = join(this.directory, `ca-${name}`)
    mkdirSync(work)
    writeFileSync(join(work, "index"), "")
    const extensions = [
      authority ? "basicConstraints=critical,CA:TRUE" : "basicConstraints=CA:FALSE",
      ...(names === undefined ? [] : [`subjectAltName=${names}`]),
      ...(usage === undefined ? [] : [`extendedKeyUsage=${usage}`]),
    ]
    writeFileSync(
      join(work, "conf"),
      `[ca]\ndefault_ca=c\n[c]\ndatabase=${work}/index\nnew_certs_dir=${work}\nrand_serial=yes\ndefault_md=sha256\n` +
        `policy=p\nunique_subject=no\nstring_mask=utf8only\n[p]\n` +
        ["countryName", "organizationName", "organizationalUnitName", "commonName", "emailAddress"]
          .map((part) => `${part}=optional\n`)
          .join("") +
        `[x]\n${extensions.join("\n")}\n`,
    )
    const [from, to] = validity ?? [day(-1), day(1)]
    openssl([
      ...[
        "ca",
        "-batch",
        "-notext",
        "-utf8",
        "-preserveDN",
        "-config",
        join(work, "conf"),
        "-extensions",
        "x",
      ],
      ...["-in", request, "-out", files.certFile, "-startdate", from, "-enddate", to],
      ...(by === undefined
        ? ["-selfsign", "-keyfile", files.keyFile]
        : ["-cert", by.certFile, "-keyfile", by.keyFile]),
    ])
    return this.#read(files)
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  #files(name: string) {
    return { certFile: join(this.directory, `${name}.crt`), keyFile: join(this.directory, `${name}.key`) }
  }

  #read(files: { certFile: string; keyFile: string }): Identity {
    return { ...files, cert: readFileSync(files.certFile, "utf8"), key: readFileSync(files.keyFile, "utf8") }
  }
}

/** A certificate outside its validity. */
export const EXPIRED = ["20200101000000Z", "20210101000000Z"] as const
export const NOT_YET_VALID = ["20900101000000Z", "20910101000000Z"] as const
