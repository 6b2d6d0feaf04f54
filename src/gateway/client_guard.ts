import type { Config } from "../config/schema.ts"
import { AddressList } from "../lib/address_list.ts"
import type { Clock } from "../lib/clock.ts"
import { BLOCK_RESULTS, SERIES, VIOLATIONS, type Violation } from "../observe/catalogue.ts"
import type { Log } from "../observe/log.ts"
import { type Series, seriesKey } from "../observe/series.ts"
import { type Failure, fail } from "../policies/failure.ts"
import type { BlockChange } from "../safety/block.ts"
import { ClientBlocks } from "../safety/client_blocks.ts"
import { Crowding } from "../safety/crowding.ts"
import { Scores } from "../safety/scores.ts"
import { LimitTable } from "../store/limit_table.ts"
import type { Exchange } from "../upstream/exchange.ts"
import type { LimitMemory } from "./protocol.ts"

export interface ClientGuardDeps {
  readonly now: Clock
  readonly log: Log
  readonly series: Series
  /** A client's score is too high: the control plane blocks it. */
  readonly report: (client: string, violation: Violation) => void
}

const CROWDED = fail("RATE_LIMITED", {
  message: "Too many requests at a time from this address.",
  details: { limit: "server.max_requests_per_ip" },
  retryAfterS: 1,
})

/** Keeps clients out that misbehave: one worker's part of `abuse`. */
export class ClientGuard {
  readonly #blocks: ClientBlocks
  readonly #deps: ClientGuardDeps
  /** `undefined` until there is memory for them. */
  #scores: Scores | undefined
  #abuse: Config["abuse"]
  readonly #crowding = new Crowding()
  #exempt = new AddressList([])

  constructor(deps: ClientGuardDeps) {
    this.#deps = deps
    const { now, series } = deps
    const [refused = 0, shadowed = 0] = BLOCK_RESULTS.map((_, i) =>
      series.slot(seriesKey(SERIES.blockedRequests, 0, i)),
    )
    this.#blocks = new ClientBlocks(now, {
      refused: () => series.addAt(refused, 1),
      shadowed: () => series.addAt(shadowed, 1),
    })
  }

  /** Takes the scores that all workers share: clients are scored from now on, where `abuse` is configured. */
  share({ table, key }: LimitMemory): void {
    const { now, log, series, report } = this.#deps
    this.#scores = new Scores({
      table: new LimitTable(table),
      key,
      now,
      log,
      count: (violation) => series.add(seriesKey(SERIES.violations, 0, VIOLATIONS.indexOf(violation)), 1),
      isBlocked: (client) => this.#blocks.has(client),
      report: (client, violation) => {
        if (this.#blocks.suspect(client)) report(client, violation)
      },
    })
    this.#scores.apply(this.#abuse, this.#exempt)
  }

  apply(config: Config): void {
    this.#exempt = exemptFrom(config)
    this.#abuse = config.abuse
    this.#scores?.apply(config.abuse, this.#exempt)
    this.#blocks.exempt = this.#exempt
    this.#blocks.enforced = config.abuse?.mode === "enforce"
    this.#crowding.max = config.server.max_requests_per_ip
  }

  /** Takes in whom the control plane has blocked, and whose block is over. */
  take(change: BlockChange): void {
    this.#blocks.take(change)
  }

  /** Whether anybody is blocked, so that a door must ask about each peer. */
  get blocking(): boolean {
    return this.#blocks.any
  }

  /** Whether a client with this address is never bounded: a trusted proxy, or on the allow-list. */
  exempts(address: string): boolean {
    return this.#exempt.has(address)
  }

  /** Seconds for which a client with this address gets no answer; 0: it does. For doors: asked before all else. */
  refuses(address: string): number {
    return this.#blocks.refuses(address)
  }

  /** Whether the client may come in, once it is known who that is. `leave` must follow. */
  admit({ client, arrival }: Exchange): Failure | undefined {
    const crowded = !this.#crowding.enter(client)
    // The door has asked about the peer.
    if (client !== arrival.peer && this.#blocks.any) {
      const seconds = this.#blocks.refuses(client)
      if (seconds > 0) return fail("CLIENT_BLOCKED", { retryAfterS: seconds })
    }
    return crowded && !this.#exempt.has(client) ? CROWDED : undefined
  }

  /** The request is over, be it answered or not. */
  leave(exchange: Exchange): void {
    // Without a route it was never asked whether it may come in.
    if (exchange.route === undefined) return
    this.#crowding.leave(exchange.client)
    this.#scores?.ended(exchange)
  }

  /** Once a second. */
  tick(): void {
    this.#blocks.tick()
  }
}

/** Who is never scored and never blocked: a trusted proxy stands for all who come through it. */
export function exemptFrom({ abuse, server }: Pick<Config, "abuse" | "server">): AddressList {
  return new AddressList([...server.trusted_proxies, ...(abuse?.allow ?? [])])
}
