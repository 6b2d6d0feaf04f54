import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { jwtVerify } from "jose"
import { Value } from "typebox/value"
import { ACCESS_TOKEN_TYPE, toAccessClaims } from "../src/identity/access_claims.ts"
import { createApiKey } from "../src/identity/api_key_format.ts"
import type { Credentials } from "../src/identity/authenticated.ts"
import { Authenticator } from "../src/identity/authenticator.ts"
import { generateKey } from "../src/identity/keys.ts"
import type { CredentialAnswer } from "../src/identity/messages.ts"
import { loadOwnKeys } from "../src/identity/own_keys.ts"
import { type AlgorithmName, AuthSchema, type AuthSettings } from "../src/identity/settings.ts"
import { signJwt } from "../src/identity/sign.ts"
import { makePrincipal } from "../test/support/principal.ts"

const ALGORITHMS = ["HS256", "RS256", "ES256", "EdDSA"] as const
/** Different credentials of one round; fewer where signing them beforehand takes long. */
const FRESH = { HS256: 5000, RS256: 500, ES256: 500, EdDSA: 500, "API key": 5000 } as const
const REPEATED = 50_000
/** Of CPU a request, for a credential that was seen before. */
const TARGET_US = 3

interface Subject {
  readonly name: keyof typeof FRESH
  readonly settings: AuthSettings
  readonly credentials: readonly Credentials[]
  /** The same by the peer; `undefined`: it has nothing like it. */
  readonly peer: (() => Promise<void>) | undefined
}

/** CPU of one verification: of a credential seen before, of a new one, and of a new one by `jose`. */
export async function identity(): Promise<boolean> {
  const rounds = Number(process.env.BENCH_ROUNDS ?? 3) * 2 + 1
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  try {
    const subjects = [...ALGORITHMS.map((alg) => tokens(alg, directory)), apiKeys()]
    const samples = subjects.map(() => ({
      cached: [] as number[],
      fresh: [] as number[],
      peer: [] as number[],
    }))
    // The first round is the warm-up of just-in-time compilers.
    for (let round = 0; round <= rounds; round++)
      for (const [i, subject] of subjects.entries()) {
        const [cached, fresh, peer] = await measure(subject)
        if (round === 0) continue
        samples[i]!.cached.push(cached)
        samples[i]!.fresh.push(fresh)
        samples[i]!.peer.push(peer)
      }
    console.log(`\nverification, µs of CPU each, median of ${rounds} rounds`)
    console.table(
      Object.fromEntries(
        subjects.map(({ name }, i) => {
          const { cached, fresh, peer } = samples[i]!
          return [
            name,
            {
              "seen before": median(cached),
              new: median(fresh),
              "new, jose.jwtVerify": peer.includes(Number.NaN) ? "-" : median(peer),
            },
          ]
        }),
      ),
    )
    const worst = Math.max(...samples.map(({ cached }) => median(cached)))
    const ok = worst <= TARGET_US
    console.log(
      `${ok ? "PASS" : "FAIL"}: at most ${worst} µs for a credential seen before (target ≤ ${TARGET_US})`,
    )
    return ok
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function measure({ settings, credentials, peer }: Subject): Promise<[number, number, number]> {
  const authenticator = new Authenticator({
    ask: async () => ANSWER as never,
    now: performance.now.bind(performance),
    wallClock: Date.now,
    count: () => {},
    report: () => {},
    onRevocationsDropped: () => {},
  })
  authenticator.apply(settings)
  const fresh = await cpuUs(credentials.length, async () => {
    for (const each of credentials) {
      const found = authenticator.authenticate(each)
      expectPrincipal(found instanceof Promise ? await found : found)
    }
  })
  const first = credentials[0]!
  const cached = await cpuUs(REPEATED, async () => {
    for (let i = 0; i < REPEATED; i++) {
      const found = authenticator.authenticate(first)
      if (found instanceof Promise) throw new Error("a credential seen before was asked for")
      expectPrincipal(found)
    }
  })
  return [cached, fresh, peer === undefined ? Number.NaN : await cpuUs(credentials.length, peer)]
}

function expectPrincipal({ kind }: { readonly kind: string }): void {
  if (kind !== "principal") throw new Error(`a credential of the benchmark was not taken: ${kind}`)
}

/** User and system time of all threads: the peer's cryptography runs beside the event loop. */
async function cpuUs(count: number, work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}

function tokens(alg: (typeof ALGORITHMS)[number], directory: string): Subject {
  const settings = settingsWith(alg, directory)
  const { sign, verify } = loadOwnKeys(settings)
  const issuedAt = Date.now()
  const signed = Array.from({ length: FRESH[alg] }, (_, i) => {
    const grant = { issuer: "gatehouse", audience: "api", issuedAt, expiresAt: issuedAt + 3_600_000 }
    return signJwt(toAccessClaims({ ...PRINCIPAL, tokenId: `t${i}` }, grant), sign!, ACCESS_TOKEN_TYPE)
  })
  const key = verify[0]!.key
  return {
    name: alg,
    settings,
    credentials: signed.map((token) => shown("authorization", `Bearer ${token}`)),
    peer: async () => {
      const options = { issuer: "gatehouse", audience: "api", typ: "at+jwt", algorithms: [alg] }
      for (const token of signed) await jwtVerify(token, key, options)
    },
  }
}

function apiKeys(): Subject {
  const random = (count: number) => crypto.getRandomValues(new Uint8Array(count))
  const keys = Array.from({ length: FRESH["API key"] }, () => createApiKey(random))
  return {
    name: "API key",
    settings: decode({ secret: generateKey("HS256") }),
    credentials: keys.map((key) => shown("x-api-key", key)),
    peer: undefined,
  }
}

function settingsWith(alg: AlgorithmName, directory: string): AuthSettings {
  const key = generateKey(alg)
  if (alg === "HS256") return decode({ secret: key })
  const file = join(directory, `${alg}.pem`)
  writeFileSync(file, key, { mode: 0o600 })
  return decode({ keys: [{ alg, file }] })
}

const decode = (auth: object): AuthSettings =>
  // A copy: defaults are the schema's own objects, and decoding changes them.
  Value.Decode(AuthSchema, structuredClone(Value.Default(AuthSchema, auth)))

const shown = (field: string, value: string): Credentials => ({
  header: (name) => (name === field ? value : undefined),
  client: "192.0.2.1",
  scheme: "https",
  certificate: undefined,
})

const median = (values: number[]): number =>
  Number(values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!.toFixed(2))

const PRINCIPAL = makePrincipal({
  id: "0198c0de-0000-7000-8000-000000000001",
  method: "api_key",
  roles: ["user"],
  scopes: ["read", "write"],
  sessionId: "0198c0de-0000-7000-8000-000000000002",
})
const ANSWER: CredentialAnswer = { kind: "principal", principal: PRINCIPAL, allowedIps: [] }

if (import.meta.main) process.exit((await identity()) ? 0 : 1)
