import type { Principal } from "../identity/principal.ts"
import { compileSubject, type SubjectOf } from "../policies/quota_subject.ts"
import { dayOf, type UsageCount } from "../store/usage_counts.ts"
import type { Exchange } from "../upstream/exchange.ts"

/** Different callers and routes counted before they are posted, whatever the time. */
const MAX_ROWS = 2000
const DAY_MS = 86_400_000

type Sum = { -readonly [Name in keyof UsageCount]: UsageCount[Name] }

/** Counts the requests of one worker by caller and route, until they are posted. */
export class UsageBatch {
  readonly #post: (counts: readonly UsageCount[]) => void
  readonly #wallClock: () => number
  /** By route, then by subject. */
  #sums = new Map<string, Map<string, Sum>>()
  #rows = 0
  #day = ""
  #dayEnds = 0
  #enabled = false
  #subjectOf: SubjectOf = compileSubject("user", undefined)
  /** Principals are cached and met again: their texts are, too. */
  #subjects = new WeakMap<Principal, string>()

  constructor(post: (counts: readonly UsageCount[]) => void, wallClock: () => number) {
    this.#post = post
    this.#wallClock = wallClock
  }

  /** Takes what config says. `issuer`: the gateway's own. */
  apply(enabled: boolean, issuer: string | undefined): void {
    this.#enabled = enabled
    this.#subjectOf = compileSubject("user", issuer)
    this.#subjects = new WeakMap()
  }

  /** Counts an exchange that is over. */
  add(exchange: Exchange): void {
    if (!this.#enabled || exchange.route === undefined) return
    const at = this.#wallClock()
    if (at >= this.#dayEnds || at < this.#dayEnds - DAY_MS) this.#turnDay(at)
    const sum = this.#sumOf(exchange.route.label, this.#subject(exchange.principal))
    sum.requests++
    if (exchange.socket === undefined && (exchange.answer === undefined || exchange.answer.status >= 400))
      sum.errors++
    sum.bytesIn += exchange.bytesIn
    sum.bytesOut += exchange.bytesOut
    if (this.#rows >= MAX_ROWS) this.flush()
  }

  /** Posts what was counted. Call once a second, and at the end. */
  flush(): void {
    if (this.#rows === 0) return
    const counts = [...this.#sums.values()].flatMap((bySubject) => [...bySubject.values()])
    this.#sums = new Map()
    this.#rows = 0
    this.#post(counts)
  }

  #turnDay(at: number): void {
    this.flush()
    this.#day = dayOf(at)
    this.#dayEnds = Math.floor(at / DAY_MS) * DAY_MS + DAY_MS
  }

  #subject(principal: Principal | undefined): string {
    if (principal === undefined) return ""
    let text = this.#subjects.get(principal)
    if (text === undefined) this.#subjects.set(principal, (text = this.#subjectOf(principal)))
    return text
  }

  #sumOf(route: string, subject: string): Sum {
    let bySubject = this.#sums.get(route)
    if (bySubject === undefined) this.#sums.set(route, (bySubject = new Map()))
    let sum = bySubject.get(subject)
    if (sum === undefined) {
      sum = { day: this.#day, subject, route, requests: 0, errors: 0, bytesIn: 0, bytesOut: 0 }
      bySubject.set(subject, sum)
      this.#rows++
    }
    return sum
  }
}
