import type {
  Escalation,
  Message,
  MessageStep,
  MessageVerdict,
  Refusal,
} from "../../policies/message_policy.ts"
import { MESSAGE_ORDER } from "../../policies/order.ts"
import type { CallService } from "./call_service.ts"
import type { NamespaceOptions } from "./options.ts"
import { screenStep } from "./screen.ts"

/** All that has a say in messages of a namespace, in running order. */
export interface MessageChain {
  readonly steps: readonly MessageStep[]
  /** Some of them take time. */
  readonly waits: boolean
}

export interface RaisedBy {
  /** Name of the policy. */
  readonly policy: string
  readonly escalation: Escalation
}

/** What has become of a message. */
export interface Judgement {
  /** As it is to be published; another object where a policy has edited it. */
  readonly data: unknown
  /** `undefined`: it may be published. */
  readonly refusal: (Refusal & { readonly policy: string }) | undefined
  /** Policies that have edited it. */
  readonly editors: readonly string[]
  readonly raised: readonly RaisedBy[]
}

type Options = Pick<NamespaceOptions, "messages" | "screen">

/** `undefined`: nothing has a say in messages of this namespace. */
export function compileChain({ messages, screen }: Options, call: CallService): MessageChain | undefined {
  const steps: MessageStep[] = []
  for (const policy of MESSAGE_ORDER) {
    const options = messages[policy.name]
    // Each policy is compiled with what its own schema has decoded; the list has lost which is whose.
    if (options !== undefined) steps.push({ name: policy.name, message: policy.compile(options as never) })
  }
  if (screen !== undefined) steps.push(screenStep(screen, call))
  return steps.length === 0 ? undefined : { steps, waits: screen !== undefined }
}

/** What is known of a message while it passes. */
class Passage implements Judgement {
  data: unknown
  refusal: Judgement["refusal"]
  readonly editors: string[] = []
  readonly raised: RaisedBy[] = []

  constructor(data: unknown) {
    this.data = data
  }

  /** False: it goes no further. */
  take(policy: string, verdict: MessageVerdict): boolean {
    if (verdict === undefined) return true
    if (verdict.kind === "escalate") {
      this.raised.push({ policy, escalation: verdict.escalation })
      return this.take(policy, verdict.and)
    }
    if (verdict.kind === "edit") {
      this.data = verdict.data
      this.editors.push(policy)
      return true
    }
    this.refusal = { ...verdict, policy }
    return false
  }
}

/** Asks each in turn; a promise only when one of them takes time. Throws, or rejects, what they throw. */
export function judge({ steps }: MessageChain, message: Message): Judgement | Promise<Judgement> {
  const passage = new Passage(message.data)
  for (let i = 0; i < steps.length; i++) {
    const { name, message: ask } = steps[i]!
    const verdict = ask(passage.editors.length === 0 ? message : { ...message, data: passage.data })
    if (verdict instanceof Promise) return judgeOn(steps, i, verdict, message, passage)
    if (!passage.take(name, verdict)) break
  }
  return passage
}

async function judgeOn(
  steps: readonly MessageStep[],
  at: number,
  pending: Promise<MessageVerdict>,
  message: Message,
  passage: Passage,
): Promise<Judgement> {
  let verdict: MessageVerdict | Promise<MessageVerdict> = pending
  for (let i = at; ; ) {
    if (!passage.take(steps[i]!.name, await verdict) || ++i === steps.length) return passage
    verdict = steps[i]!.message({ ...message, data: passage.data })
  }
}
