import type { SafetyReport } from "../../safety/safety_event.ts"
import { MAX_MESSAGE_CHARS } from "../../safety/safety_event.ts"
import type { SafetyReports } from "../safety/reports.ts"
import type { CallService } from "./call_service.ts"
import type { Published } from "./channel_store.ts"
import { compileChain, type Judgement, judge, type MessageChain, type RaisedBy } from "./message_chain.ts"
import type { Namespace } from "./namespaces.ts"
import type { RealtimeOptions } from "./options.ts"
import { Turns } from "./turns.ts"
import type { NotPublished, PublishOptions } from "./world.ts"

export interface MessageDeskOptions {
  readonly call: CallService
  readonly safety: Pick<SafetyReports, "raise" | "judged">
  /** Publishes JSON text. Never rejects. */
  readonly publish: (
    namespace: Namespace,
    channel: string,
    text: string,
    options: PublishOptions,
  ) => Promise<Published | NotPublished>
}

/** A message, and the same as JSON text. */
export interface WrittenMessage {
  readonly data: unknown
  readonly text: string
}

/** Characters of a user's id that events hold. */
const MAX_USER_CHARS = 256

/** Asks the policies of its namespace about each message of a client, and does what they say. */
export class MessageDesk {
  readonly #options: MessageDeskOptions
  /** By name of the namespace; those without any policy are not here. */
  #chains: ReadonlyMap<string, MessageChain> = new Map()
  /** One message of a caller and channel at a time where a policy takes time, so that they stay in order. */
  readonly #turns = new Turns<Published | NotPublished>()

  constructor(options: MessageDeskOptions) {
    this.#options = options
  }

  apply(options: RealtimeOptions | undefined): void {
    const chains = new Map<string, MessageChain>()
    for (const [name, namespace] of Object.entries(options?.namespaces ?? {})) {
      const chain = compileChain(namespace, this.#options.call)
      if (chain !== undefined) chains.set(name, chain)
    }
    this.#chains = chains
  }

  /** Rejects when a policy throws: then nothing is published. */
  async publish(
    namespace: Namespace,
    channel: string,
    written: WrittenMessage,
    options: PublishOptions,
  ): Promise<Published | NotPublished> {
    const chain = this.#chains.get(namespace.name)
    if (chain === undefined) return this.#options.publish(namespace, channel, written.text, options)
    const { principal } = options
    const ask = () => judge(chain, { namespace: namespace.name, channel, data: written.data, principal })
    if (!chain.waits) return this.#follow(await ask(), namespace, channel, written, options)
    return this.#turns.inTurn(`${principal?.id ?? ""} ${channel}`, async () =>
      this.#follow(await ask(), namespace, channel, written, options),
    )
  }

  #follow(
    { data, refusal, editors, raised }: Judgement,
    namespace: Namespace,
    channel: string,
    { text }: WrittenMessage,
    options: PublishOptions,
  ): Promise<Published | NotPublished> | NotPublished {
    const { safety, publish } = this.#options
    for (const each of raised) {
      safety.judged(namespace.name, each.policy, "escalated")
      this.#raise(each, channel, text, options)
    }
    for (const editor of editors) safety.judged(namespace.name, editor, "edited")
    if (refusal !== undefined) {
      // Nobody refused what could not be looked at.
      if (refusal.code === "UNAVAILABLE") return "UNAVAILABLE"
      safety.judged(namespace.name, refusal.policy, "refused")
      return { refused: refusal.code, reason: refusal.reason }
    }
    if (editors.length === 0) return publish(namespace, channel, text, options)
    const edited = JSON.stringify(data)
    // It may be longer than it was.
    if (Buffer.byteLength(edited) > namespace.options.max_message) return "TOO_LARGE"
    return publish(namespace, channel, edited, options)
  }

  /** Does not wait: the sender is not to notice. */
  #raise({ policy, escalation }: RaisedBy, channel: string, text: string, options: PublishOptions): void {
    const { principal, key, client = "", requestId = "" } = options
    const user = principal?.id.slice(0, MAX_USER_CHARS)
    const report: SafetyReport = {
      category: escalation.category,
      severity: escalation.severity,
      channel,
      message: text.slice(0, MAX_MESSAGE_CHARS),
      details: { ...escalation.details },
      ...(user !== undefined && { user }),
    }
    void this.#options.safety.raise(report, {
      source: `policy:${policy}`,
      reporter: { id: user ?? "", client, requestId },
      // Who sends a message again, as it had no answer, has not said it twice; but must not hide another behind its key.
      key: key === undefined ? undefined : `message ${policy} ${channel} ${key} ${text}`,
    })
  }
}
