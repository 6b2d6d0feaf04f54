import { AddressList } from "../lib/address_list.ts"
import type { Clock } from "../lib/clock.ts"
import { type HashKey, KeyedHash } from "../lib/keyed_hash.ts"
import { parseRate } from "../lib/rate.ts"
import { type Accounted, finalStatus } from "../observe/account.ts"
import { VIOLATIONS, type Violation } from "../observe/catalogue.ts"
import { LineBudget } from "../observe/line_budget.ts"
import type { Log } from "../observe/log.ts"
import { type Bucket, Decision, type LimitTable } from "../store/limit_table.ts"
import type { AbuseOptions } from "./abuse_options.ts"
import { networkOf } from "./client_blocks.ts"

/** What scoring reads of a request that is over; every exchange is one. */
export interface Scored extends Omit<Accounted, "route"> {
  readonly id: string
  /** Address of the client after trusted proxies. */
  readonly client: string
  readonly route: (NonNullable<Accounted["route"]> & { readonly label: string }) | undefined
}

export interface ScoresDeps {
  /** Shared with all workers, for scores and request rates alone. */
  readonly table: LimitTable
  readonly key: HashKey
  readonly now: Clock
  readonly log: Log
  readonly count: (violation: Violation) => void
  /** Whether a client is blocked already: then it is not scored. Takes what `networkOf` gives. */
  readonly isBlocked: (client: string) => boolean
  /** A client's score would rise above the threshold: told at each violation until the client is blocked. */
  readonly report: (client: string, violation: Violation) => void
}

const EXCESS = VIOLATIONS.indexOf("excess")

/** The kind of violation each status is, as an index; 255: none. */
const KIND_OF_STATUS = new Uint8Array(600).fill(255)
const STATUSES: readonly (readonly [kind: Violation, statuses: readonly number[]])[] = [
  ["unauthorized", [401]],
  ["forbidden", [403]],
  ["not_found", [404]],
  ["rate_limited", [429]],
  ["bad_request", [400, 405, 408, 413, 414, 417, 431]],
]
for (const [kind, statuses] of STATUSES)
  for (const status of statuses) KIND_OF_STATUS[status] = VIOLATIONS.indexOf(kind)

/** What a bucket counts: part of its key, and whom it shares with when the table is full. */
const SCORE = 1
const REQUESTS = 2

const hash = new KeyedHash()

interface Rules {
  readonly weights: Float64Array
  readonly score: Bucket
  /** `undefined`: requests are not counted. */
  readonly requests: Bucket | undefined
  readonly fromServices: boolean
}

/**
 * Scores clients for what they do wrong. A score is a leaky bucket in the table all workers share: points run out
 * steadily, by the threshold in a window. **When the table is full**, a newcomer shares a bucket with others; nobody is
 * blocked for the score of such a one.
 */
export class Scores {
  readonly #deps: ScoresDeps
  readonly #decision = new Decision()
  readonly #lines: LineBudget
  #rules: Rules | undefined
  #exempt = new AddressList([])

  constructor(deps: ScoresDeps) {
    this.#deps = deps
    this.#lines = new LineBudget(deps.now)
  }

  /** `exempt`: who is not scored. */
  apply(options: AbuseOptions | undefined, exempt: AddressList): void {
    this.#exempt = exempt
    this.#rules = options && compileRules(options)
  }

  /** Scores a request that is over, once. What a blocked client still asks is not scored. */
  ended(request: Scored): void {
    const rules = this.#rules
    if (rules === undefined || request.failure === "CLIENT_BLOCKED") return
    const kind = KIND_OF_STATUS[finalStatus(request)] ?? 255
    if (kind !== 255 && (rules.fromServices || isOwn(request))) this.#violated(rules, kind, request)
    if (rules.requests !== undefined && !this.#take(REQUESTS, request.client, rules.requests, 1))
      this.#violated(rules, EXCESS, request)
  }

  #violated(rules: Rules, kind: number, request: Scored): void {
    const points = rules.weights[kind]!
    if (points === 0 || this.#exempt.has(request.client)) return
    const client = networkOf(request.client)
    const { count, isBlocked, log, report } = this.#deps
    if (isBlocked(client)) return
    const violation = VIOLATIONS[kind]!
    count(violation)
    const room = this.#lines.take()
    if (room !== undefined) {
      log.info("client.violation", {
        client,
        violation,
        status: finalStatus(request),
        route: request.route?.label,
        request_id: request.id,
        ...room,
      })
    }
    if (!this.#take(SCORE, request.client, rules.score, points)) report(client, violation)
  }

  /** Whether the bucket has the points, or nobody knows as it is shared. */
  #take(kind: number, address: string, bucket: Bucket, points: number): boolean {
    const { table, key, now } = this.#deps
    hash.start(key).word(kind).text(networkOf(address)).finish()
    table.take(hash.high, hash.low, bucket, points, now(), this.#decision)
    return this.#decision.allowed || this.#decision.shared
  }
}

/** Whether the gateway itself has answered: no instance was asked, or its answer was not what the client got. */
function isOwn({ instance, failure }: Scored): boolean {
  // A handshake the service refused has a code of its own.
  return instance === "" || (failure !== "" && !failure.startsWith("HANDSHAKE_"))
}

function compileRules(options: AbuseOptions): Rules {
  const { threshold, window, weights, request_rate, from_services } = options
  const rate = parseRate(request_rate)
  if (typeof rate === "string") throw new Error(`compiling abuse.request_rate: ${rate}`)
  return {
    weights: Float64Array.from(VIOLATIONS, (violation) => weights[violation]),
    score: bucketOf(SCORE, window / threshold, window),
    requests: weights.excess === 0 ? undefined : bucketOf(REQUESTS, rate.perMs / rate.count, rate.perMs),
    fromServices: from_services,
  }
}

const bucketOf = (overflow: number, emissionMs: number, toleranceMs: number) => ({
  emissionMs,
  toleranceMs,
  longestMs: toleranceMs,
  overflow,
})
