import type { Log } from "../../observe/log.ts"
import type { SafetyReport } from "../../safety/safety_event.ts"
import { fillTemplate, type SafetyEventOptions } from "../../safety/safety_options.ts"
import type { CallService } from "../channels/call_service.ts"
import type { Namespaces } from "../channels/namespaces.ts"
import { type Alarm, concerns, type Hearer } from "./alarm.ts"
import type {
  AlarmChannel,
  AlarmPlan,
  Raised,
  Reporter,
  SafetyAnswer,
  SafetyNews,
  SafetyQuestion,
  Verdict,
} from "./messages.ts"

/** A connection as alarms find it. */
export interface AlarmedSession extends Hearer {
  /** Sends a push before all that waits to be sent. */
  alert(text: string): void
}

export interface SafetyReportsOptions {
  readonly worker: number
  /** Asks the control plane. `undefined`: it has no answer. Never rejects. */
  readonly ask: (question: SafetyQuestion) => Promise<SafetyAnswer | undefined>
  /** For safety events only, so that no other question is under way before them. */
  readonly call: CallService
  readonly sessions: Iterable<AlarmedSession>
  readonly log: Log
}

/** What is raised, by whom. */
export interface RaiseOptions {
  readonly source: string
  readonly reporter: Reporter
  /** Idempotency key, with the reporter's id before it; `undefined`: none. */
  readonly key: string | undefined
}

/** Safety events on one worker: they begin here, and reach its connections and the service from here. */
export class SafetyReports {
  readonly #options: SafetyReportsOptions
  #events: SafetyEventOptions | undefined
  #namespaces: Namespaces | undefined

  constructor(options: SafetyReportsOptions) {
    this.#options = options
  }

  /** `undefined`: config has no `safety.events`. */
  get events(): SafetyEventOptions | undefined {
    return this.#events
  }

  apply(events: SafetyEventOptions | undefined, namespaces: Namespaces): void {
    this.#events = events
    this.#namespaces = namespaces
  }

  /** Resolves when sockets were told and the rest is being handed on; `undefined`: it was not taken. Never rejects. */
  async raise(report: SafetyReport, { source, reporter, key }: RaiseOptions): Promise<Raised | undefined> {
    const events = this.#events
    if (events === undefined) {
      this.#options.log.warn("safety.not_configured")
      return undefined
    }
    const plan = this.#plan(events, report)
    const answer = await this.#ask({ do: "raise", report, source, reporter, key, plan })
    if (answer === undefined) {
      const { category, severity } = report
      this.#options.log.error("safety.untold", { category, severity, source })
    }
    return answer?.raised
  }

  /** Counts what policies made of a message. */
  judged(namespace: string, policy: string, verdict: Verdict): void {
    void this.#ask({ do: "judged", namespace, policy, verdict })
  }

  /** What the control plane tells. */
  told(news: SafetyNews): void {
    if (news.do === "alarm") this.#alert(news.alarm)
    else void this.#call(news)
  }

  #alert(alarm: Alarm): void {
    for (const session of this.#options.sessions) if (concerns(alarm, session)) session.alert(alarm.text)
  }

  async #call({ id, call, event }: Extract<SafetyNews, { do: "call" }>): Promise<void> {
    const headers = ["idempotency-key", id]
    const answer = await this.#options.call(call, event, { headers, statusOnly: true })
    const taken = answer !== undefined && answer.status >= 200 && answer.status < 300
    await this.#ask({ do: "called", id, taken })
  }

  #ask(ask: SafetyQuestion["ask"]): Promise<SafetyAnswer | undefined> {
    return this.#options.ask({ kind: "safety", worker: this.#options.worker, ask })
  }

  #plan(
    { service, channels, notify_user }: SafetyEventOptions,
    { user, session, category, severity }: SafetyReport,
  ): AlarmPlan {
    const found: AlarmChannel[] = []
    for (const template of channels) {
      const channel = fillTemplate(template, { user, session, category, severity })
      const namespace = channel === undefined ? undefined : this.#namespaces?.find(channel)
      if (channel !== undefined && namespace !== undefined && !found.some((each) => each.channel === channel))
        found.push({ channel, namespace: namespace.name, retention: namespace.retention })
    }
    return {
      service: service && {
        service: service.service,
        path: service.path,
        timeout: service.timeout,
        giveUpAfterMs: service.give_up_after,
      },
      channels: found,
      user: notify_user ? (user ?? "") : "",
    }
  }
}
