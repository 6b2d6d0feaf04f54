import type { KeyObject } from "node:crypto"
import { late } from "../lib/late.ts"
import type { AlgorithmName } from "./settings.ts"

export type Algorithm = AlgorithmName

/** Whether a signature is right. `input` is ASCII: header and payload in base64url. */
export type Verify = (input: string, signature: Uint8Array) => boolean
/** The signature of ASCII text. */
export type Sign = (input: string) => Uint8Array

export interface AlgorithmInfo {
  /** Key type as a JWK names it. */
  readonly kty: "oct" | "RSA" | "EC" | "OKP"
  /** Curve as a JWK names it; `undefined`: the key type has none. */
  readonly crv: string | undefined
  /** Why the key cannot be used with this algorithm: it is another kind, or too weak. */
  unfit(key: KeyObject): string | undefined
  /** Of a fit public or secret key. */
  verifier(key: KeyObject): Verify
  /** Of a fit private or secret key. */
  signer(key: KeyObject): Sign
}

type Hash = "sha256" | "sha384" | "sha512"

const MIN_RSA_BITS = 2048
/** Verification with larger keys would be a way to keep the CPU busy. */
const MAX_RSA_BITS = 8192
/** NIST SP 800-56B. With an exponent of 1, which the library takes, anybody can sign. */
const MIN_RSA_EXPONENT = 65537n

/** HMAC (RFC 7518 section 3.2): the secret is at least as long as the hash. */
function hmac(hash: Hash, hashBytes: number): AlgorithmInfo {
  const hasher = (key: KeyObject) => new Bun.CryptoHasher(hash, key.export())
  return {
    kty: "oct",
    crv: undefined,
    unfit(key) {
      if (key.type !== "secret") return "is not a secret"
      if ((key.symmetricKeySize ?? 0) < hashBytes) return `is shorter than ${hashBytes} bytes`
      return undefined
    },
    verifier(key) {
      // Copies of one hasher: the secret is scheduled only once.
      const keyed = hasher(key)
      return (input, signature) =>
        signature.length === hashBytes &&
        late.crypto.timingSafeEqual(keyed.copy().update(input).digest(), signature)
    },
    signer(key) {
      const keyed = hasher(key)
      return (input) => keyed.copy().update(input).digest()
    },
  }
}

function unfitRsa(key: KeyObject): string | undefined {
  if (key.asymmetricKeyType !== "rsa") return "is not an RSA key"
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < MIN_RSA_BITS) return `is shorter than ${MIN_RSA_BITS} bits`
  if (modulusLength > MAX_RSA_BITS) return `is longer than ${MAX_RSA_BITS} bits`
  if (publicExponent < MIN_RSA_EXPONENT || publicExponent % 2n === 0n) return "has a weak public exponent"
  return undefined
}

/** RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 7518 sections 3.3 and 3.5): the salt is as long as the hash. */
function rsa(hash: Hash, scheme: "pkcs1" | "pss"): AlgorithmInfo {
  const withKey = (key: KeyObject) =>
    scheme === "pkcs1"
      ? { key, padding: late.crypto.constants.RSA_PKCS1_PADDING }
      : {
          key,
          padding: late.crypto.constants.RSA_PKCS1_PSS_PADDING,
          saltLength: late.crypto.constants.RSA_PSS_SALTLEN_DIGEST,
        }
  return {
    kty: "RSA",
    crv: undefined,
    unfit: unfitRsa,
    verifier(key) {
      const input = withKey(key)
      const signatureBytes = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
      return (text, signature) =>
        signature.length === signatureBytes &&
        late.crypto.verify(hash, Buffer.from(text, "latin1"), input, signature)
    },
    signer(key) {
      const input = withKey(key)
      return (text) => late.crypto.sign(hash, Buffer.from(text, "latin1"), input)
    },
  }
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false
  return true
}

/** ECDSA (RFC 7518 section 3.4): the signature is r and s, each exactly as long as the curve's order. */
function ecdsa(hash: Hash, crv: string, namedCurve: string, numberBytes: number): AlgorithmInfo {
  return {
    kty: "EC",
    crv,
    unfit(key) {
      if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== namedCurve)
        return `is not an EC key on ${crv}`
      return undefined
    },
    verifier(key) {
      const input = { key, dsaEncoding: "ieee-p1363" } as const
      return (text, signature) =>
        signature.length === 2 * numberBytes &&
        // Zero fits any message in a careless implementation (CVE-2022-21449).
        !isZero(signature, 0, numberBytes) &&
        !isZero(signature, numberBytes, 2 * numberBytes) &&
        late.crypto.verify(hash, Buffer.from(text, "latin1"), input, signature)
    },
    signer(key) {
      const input = { key, dsaEncoding: "ieee-p1363" } as const
      return (text) => late.crypto.sign(hash, Buffer.from(text, "latin1"), input)
    },
  }
}

/** Ed25519 (RFC 8037 section 3.1). */
const ed25519: AlgorithmInfo = {
  kty: "OKP",
  crv: "Ed25519",
  unfit: (key) => (key.asymmetricKeyType === "ed25519" ? undefined : "is not an Ed25519 key"),
  verifier: (key) => (text, signature) =>
    signature.length === 64 && late.crypto.verify(null, Buffer.from(text, "latin1"), key, signature),
  signer: (key) => (text) => late.crypto.sign(null, Buffer.from(text, "latin1"), key),
}

/** Every algorithm there is. `none` is not one. */
export const ALGORITHMS: Readonly<Record<Algorithm, AlgorithmInfo>> = {
  HS256: hmac("sha256", 32),
  HS384: hmac("sha384", 48),
  HS512: hmac("sha512", 64),
  RS256: rsa("sha256", "pkcs1"),
  RS384: rsa("sha384", "pkcs1"),
  RS512: rsa("sha512", "pkcs1"),
  PS256: rsa("sha256", "pss"),
  PS384: rsa("sha384", "pss"),
  PS512: rsa("sha512", "pss"),
  ES256: ecdsa("sha256", "P-256", "prime256v1", 32),
  ES384: ecdsa("sha384", "P-384", "secp384r1", 48),
  ES512: ecdsa("sha512", "P-521", "secp521r1", 66),
  EdDSA: ed25519,
}

/** Exactly by name: RFC 7518 names are case-sensitive, so `hs256` is no algorithm. */
export function isAlgorithm(name: unknown): name is Algorithm {
  return typeof name === "string" && Object.hasOwn(ALGORITHMS, name)
}
