import type { Question, Replies, Reply } from "../identity/messages.ts"
import type { ExactAnswer, ExactTake } from "../policies/limits.ts"
import type { QuotaAnswer } from "../policies/quotas.ts"
import type { ChannelAnswer, ChannelQuestion } from "../realtime/channels/hub_messages.ts"
import type { SafetyAnswer, SafetyQuestion } from "../realtime/safety/messages.ts"
import type { QuotaTake } from "../store/quota_usage.ts"
import type { RegistryNews, RegistryQuestion } from "./registry_news.ts"

/** Units of quotas, by name of the quota: from all of them, or from none. */
export interface QuotaQuestion {
  readonly kind: "quota"
  readonly takes: readonly QuotaTake[]
}

/** What a worker cannot know by itself and asks the control plane. */
export type ControlQuestion =
  | Question
  | QuotaQuestion
  | ExactTake
  | RegistryQuestion
  | ChannelQuestion
  | SafetyQuestion
export type ControlReply = Reply | QuotaAnswer | ExactAnswer | RegistryNews | ChannelAnswer | SafetyAnswer

/** The answer to each kind of question. */
export interface ControlReplies extends Replies {
  readonly quota: QuotaAnswer
  readonly limit: ExactAnswer
  readonly registry: RegistryNews
  readonly channels: ChannelAnswer
  readonly safety: SafetyAnswer
}
