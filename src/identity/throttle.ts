import { clientNetwork } from "../lib/client_network.ts"
import { late } from "../lib/late.ts"
import type { IdentityContext } from "./context.ts"
import { FailureBatch } from "./failure_batch.ts"
import { recordFailures } from "./record_failures.ts"

/** What is guessed or asked for. Each counts for itself. */
export type ThrottledAct = "login" | "client" | "mail" | "register" | "token" | "refresh"

/** A try that was counted as failed before it took place, so that tries side by side cannot be more than allowed. */
export interface Reservation {
  /** It was right: failures of this account are forgotten; those of the address stay, without this one. */
  succeeded(): Promise<void>
  /** It did not take place. */
  release(): Promise<void>
}

export type Attempt =
  | ({ readonly kind: "permitted" } & Reservation)
  /** `retryAfterS`: whole seconds, at least 1. */
  | { readonly kind: "blocked"; readonly by: "account" | "address"; readonly retryAfterS: number }

export interface Throttle {
  /**
   * Counts a try and says whether it may take place. `who`: the account it is about, whether there is one or not;
   * `undefined`: only the address counts. `client`: address of the caller. Blocked ones are put on record together,
   * about once a second: anybody can send them as fast as the network goes.
   */
  attempt(act: ThrottledAct, who: string | undefined, client: string): Promise<Attempt>
  /** Lifts delay and lock of an account, as its owner proved to be it in another way. */
  forgive(act: ThrottledAct, who: string): Promise<void>
  /** Puts blocked tries on record that came since the last time. Never rejects. Call about once a minute. */
  flush(): Promise<void>
}

const FIRST_DELAY_MS = 1000
/** Blocked tries are put on record this often at most. */
const RECORD_MS = 1000
/** Longest name of an account put on record. */
const MAX_NAME = 512

/** Two counters that say when the next try may be. */
interface Limit {
  /** Failures without a delay; a huge number: there are no delays. */
  readonly free: number
  /** Failures from which on it is locked. */
  readonly max: number
}

interface Row {
  readonly blocked_until: number
}

/**
 * Against guessing, by `auth.lockout`: counters in the store, shared by all gateways that use it. An account is
 * known by a keyed hash of its name, so the table tells nobody what was typed; a new signing key starts new counters.
 */
export function createThrottle(context: IdentityContext): Throttle {
  const { store, settings, wallClock } = context
  const refused = new FailureBatch()
  let recordedAt = Number.NEGATIVE_INFINITY
  const limitOf = (kind: "account" | "address"): Limit => {
    const { free_attempts, attempts, ip_attempts, duration } = settings().lockout
    if (kind === "address") return { free: Number.MAX_SAFE_INTEGER, max: ip_attempts }
    // No delay is longer than a lock.
    const longest = free_attempts + 1 + Math.max(0, Math.ceil(Math.log2(duration / FIRST_DELAY_MS)))
    return { free: free_attempts, max: Math.min(attempts, longest) }
  }
  const subjectOf = (act: ThrottledAct, kind: string, what: string) =>
    late.crypto.createHmac("sha256", throttleKey(context)).update(`${act} ${kind} ${what}`).digest("hex")

  async function reserve(subject: string, limit: Limit): Promise<number | undefined> {
    const row = await store.get<Row>(RESERVE, [
      subject,
      wallClock(),
      settings().lockout.duration,
      limit.free,
      limit.max,
    ])
    return row?.blocked_until
  }

  async function flush(): Promise<void> {
    recordedAt = wallClock()
    const failures = refused.take()
    if (failures.length > 0) await recordFailures(failures, context, context.log)
  }

  async function blocked(
    by: "account" | "address",
    subject: string,
    { act, who, client }: { act: ThrottledAct; who: string | undefined; client: string },
  ): Promise<Attempt> {
    const row = await store.get<Row>("SELECT blocked_until FROM login_failures WHERE subject = $1", [subject])
    const at = wallClock()
    const restMs = (row?.blocked_until ?? 0) - at
    const actor = (who ?? "").slice(0, MAX_NAME)
    refused.add({ at, reason: `throttled_by_${by}`, client, route: act, requestId: "", actor })
    // Also when the clock was set back.
    if (Math.abs(at - recordedAt) >= RECORD_MS) await flush()
    return { kind: "blocked", by, retryAfterS: Math.max(1, Math.ceil(restMs / 1000)) }
  }

  /** `until`: what the reservation set; a later block stays. */
  const giveBack = (subject: string, until: number) =>
    store.run(
      `UPDATE login_failures SET failures = failures - 1,
         blocked_until = CASE WHEN blocked_until = $2 THEN 0 ELSE blocked_until END
       WHERE subject = $1 AND failures > 0`,
      [subject, until],
    )

  const forget = (subject: string) => store.run("DELETE FROM login_failures WHERE subject = $1", [subject])

  return {
    async attempt(act, who, client) {
      const address = subjectOf(act, "address", clientNetwork(client))
      const addressUntil = await reserve(address, limitOf("address"))
      if (addressUntil === undefined) return blocked("address", address, { act, who, client })
      const account = who === undefined ? undefined : subjectOf(act, "account", who)
      const accountUntil = account === undefined ? 0 : await reserve(account, limitOf("account"))
      if (account !== undefined && accountUntil === undefined) {
        // It does not take place: an address is not locked by tries that were refused anyway.
        await giveBack(address, addressUntil)
        return blocked("account", account, { act, who, client })
      }
      return {
        kind: "permitted",
        async succeeded() {
          await giveBack(address, addressUntil)
          if (account !== undefined) await forget(account)
        },
        async release() {
          await giveBack(address, addressUntil)
          if (account !== undefined) await giveBack(account, accountUntil!)
        },
      }
    },
    async forgive(act, who) {
      await forget(subjectOf(act, "account", who))
    },
    flush,
  }
}

/** Failures as they become: old ones are forgotten. */
const NEXT = `(CASE WHEN login_failures.last_at + CAST($3 AS BIGINT) <= CAST($2 AS BIGINT) THEN 1
  ELSE login_failures.failures + 1 END)`
/** In one statement: of tries side by side each sees what the one before has left. No row comes back: it is blocked. */
const RESERVE = `INSERT INTO login_failures (subject, failures, last_at, blocked_until)
  VALUES ($1, 1, CAST($2 AS BIGINT), 0)
  ON CONFLICT (subject) DO UPDATE SET failures = ${NEXT}, last_at = CAST($2 AS BIGINT), blocked_until = CASE
    WHEN ${NEXT} >= CAST($5 AS BIGINT) THEN CAST($2 AS BIGINT) + CAST($3 AS BIGINT)
    WHEN ${NEXT} <= CAST($4 AS BIGINT) THEN 0
    ELSE CAST($2 AS BIGINT)
      + (CAST(${FIRST_DELAY_MS} AS BIGINT) << CAST(${NEXT} - CAST($4 AS BIGINT) - 1 AS INTEGER)) END
  WHERE login_failures.blocked_until <= CAST($2 AS BIGINT)
  RETURNING blocked_until`

const NO_KEY = "gatehouse throttle"

/** Derived from what signs tokens, which all gateways of a store share. */
function throttleKey({ keys }: IdentityContext): Buffer | string {
  const key = keys().sign?.key
  if (key === undefined) return NO_KEY
  const secret = key.type === "secret" ? key.export() : key.export({ type: "pkcs8", format: "der" })
  return late.crypto.createHmac("sha256", NO_KEY).update(secret).digest()
}
