import { type Algorithm, isAlgorithm } from "../identity/algorithms.ts"
import { generateKey, importPem } from "../identity/keys.ts"
import { didYouMean } from "../lib/suggest.ts"
import { parseCommand } from "./args.ts"
import { EXIT, type Output } from "./output.ts"
import { usageError } from "./usage.ts"

const OFFERED: readonly Algorithm[] = ["ES256", "ES384", "EdDSA", "RS256", "PS256", "HS256"]
/** Ids that need no quotes in YAML, a URL or a log. */
const KID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$/

/** `gatehouse keygen [ALGORITHM] [--kid ID]`: a new key on standard output, how to use it on standard error. */
export function keygen(args: readonly string[], output: Output): number {
  const parsed = parseCommand(args, { kid: { type: "string" } }, ["ALGORITHM"], 0)
  if (!parsed.ok) return usageError("keygen", parsed.message, output)
  const [alg = "ES256"] = parsed.positionals
  if (!isAlgorithm(alg) || !OFFERED.includes(alg))
    return usageError("keygen", `no algorithm "${alg}"${didYouMean(alg, OFFERED)}`, output)
  const { kid } = parsed.values
  if (kid !== undefined && !(typeof kid === "string" && KID.test(kid)))
    return usageError("keygen", "--kid: letters, digits, dots, hyphens and underscores, at most 256", output)
  const key = generateKey(alg)
  output.err(alg.startsWith("HS") ? secretHint(alg, kid) : pemHint(alg, kid ?? thumbprintOf(key, alg)))
  output.out(key.endsWith("\n") ? key : `${key}\n`)
  return EXIT.fine
}

function thumbprintOf(pem: string, alg: Algorithm): string | undefined {
  const key = importPem(pem, alg, undefined)
  return key.ok ? key.verify.kid : undefined
}

const pemHint = (alg: Algorithm, kid: string | undefined) =>
  `# ${alg} private key. Keep it in a file only the gateway reads, then: auth: { keys: [{ kid: "${kid}", alg: ${alg}, file: FILE }] }\n`

const secretHint = (alg: Algorithm, kid: string | undefined) =>
  `# ${alg} secret. Keep it in the environment, then: auth: { keys: [{ ${kid === undefined ? "" : `kid: "${kid}", `}alg: ${alg}, secret: "\${SECRET_KEY}" }] }\n`
