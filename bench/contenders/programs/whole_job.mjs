import { createHmac, createPublicKey, randomUUID, timingSafeEqual, verify } from "node:crypto"
import { createServer } from "node:http"
import pino from "pino"
import { Counter, Histogram, register } from "prom-client"

const MAX_TOKENS = 10_000
const PER_SECOND = 1_000_000

/**
 * The whole job as a proxy in JavaScript would do it well: verified tokens are kept, logs are written in batches,
 * metrics by prom-client.
 */
export function createJob({ algorithm, verifyKey, issuer, audience, logFile, metricsPort }) {
  const log = pino(
    { base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: logFile, sync: false, minLength: 8192, periodicFlush: 200 }),
  )
  const requests = new Counter({
    name: "requests_total",
    help: "Requests.",
    labelNames: ["method", "status"],
  })
  const duration = new Histogram({ name: "request_seconds", help: "Their duration.", labelNames: ["method"] })
  createServer(async (_, response) => response.end(await register.metrics())).listen(metricsPort, "127.0.0.1")

  const publicKey = algorithm === "RS256" ? createPublicKey(verifyKey) : undefined
  const signed = (input, signature) =>
    publicKey === undefined
      ? timingSafeEqual(createHmac("sha256", verifyKey).update(input).digest(), signature)
      : verify("RSA-SHA256", Buffer.from(input), publicKey, signature)

  /** Claims of a token, `undefined` when it does not hold. */
  function read(token) {
    const [head, payload, signature, ...more] = token.split(".")
    if (signature === undefined || more.length > 0) return undefined
    try {
      const { alg } = JSON.parse(Buffer.from(head, "base64url").toString())
      if (alg !== algorithm || !signed(`${head}.${payload}`, Buffer.from(signature, "base64url")))
        return undefined
      const claims = JSON.parse(Buffer.from(payload, "base64url").toString())
      return claims.iss === issuer && claims.aud === audience ? claims : undefined
    } catch {
      return undefined // what is not a token is refused like a wrong one
    }
  }

  const known = new Map()
  function claimsOf(authorization) {
    if (!authorization?.startsWith("Bearer ")) return undefined
    let claims = known.get(authorization)
    if (claims === undefined) {
      claims = read(authorization.slice(7))
      if (claims === undefined) return undefined
      if (known.size >= MAX_TOKENS) known.delete(known.keys().next().value)
      known.set(authorization, claims)
    }
    return claims.exp * 1000 > Date.now() ? claims : undefined
  }

  const buckets = new Map()
  function takes(user) {
    const now = performance.now()
    let bucket = buckets.get(user)
    if (bucket === undefined) buckets.set(user, (bucket = { tokens: PER_SECOND, at: now }))
    bucket.tokens = Math.min(PER_SECOND, bucket.tokens + ((now - bucket.at) * PER_SECOND) / 1000)
    bucket.at = now
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }

  return {
    /** Who asks, under which id, since when; `status` is 0 when the request may pass, else what it is refused with. */
    admit(authorization) {
      const claims = claimsOf(authorization)
      const user = claims?.sub ?? ""
      const status = claims === undefined ? 401 : takes(user) ? 0 : 429
      return { user, status, id: randomUUID(), startedAt: performance.now() }
    },
    /** Logs and counts a request that is over. */
    finish({ id, user, startedAt }, method, path, status) {
      const ms = performance.now() - startedAt
      log.info({ event: "request", id, user, method, path, status, duration_ms: ms })
      requests.inc({ method, status })
      duration.observe({ method }, ms / 1000)
    },
  }
}
