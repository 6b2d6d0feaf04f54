import { FieldList } from "../../http1/field_list.ts"
import type { AuthSettings } from "../../identity/settings.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import type { Answered } from "../../policies/policy.ts"
import type { Exchange } from "../../upstream/exchange.ts"
import type { Ask } from "../auth/hand_over.ts"
import { servicesOf } from "./public_port.ts"
import {
  EVENT_STREAM_HEADERS,
  GeneratedBody,
  LONGEST_WATCH_MS,
  MAX_WATCHERS,
  placeOf,
  watchEvents,
} from "./watch.ts"

export interface WatchersDeps {
  readonly ask: Ask
  readonly wallClock: () => number
  /** `false` while the gateway ends. */
  readonly ready: () => boolean
}

/** Clients of one worker that watch the registry. What they are told comes from the control plane, question by question. */
export class Watchers {
  readonly #deps: WatchersDeps
  #open = 0

  constructor(deps: WatchersDeps) {
    this.#deps = deps
  }

  answer(exchange: Exchange, settings: AuthSettings): Answered | Failure {
    if (settings.https === "required" && exchange.scheme !== "https") return fail("HTTPS_REQUIRED")
    const services = servicesOf(exchange.principal)
    if ("kind" in services) return services
    if (this.#open >= MAX_WATCHERS)
      return fail("OVERLOADED", { message: "There are too many watchers.", retryAfterS: 5 })
    const { ask, wallClock, ready } = this.#deps
    const until = Math.min(wallClock() + LONGEST_WATCH_MS, exchange.principal!.expiresAt)
    const events = watchEvents(
      (since) => ask({ kind: "registry", since, services }),
      placeOf(exchange.header("last-event-id")),
      () => ready() && wallClock() < until,
    )
    this.#open++
    const body = new GeneratedBody(events, () => {
      this.#open--
    })
    return { kind: "answer", answer: { status: 200, fields: FieldList.of(EVENT_STREAM_HEADERS), body } }
  }
}
