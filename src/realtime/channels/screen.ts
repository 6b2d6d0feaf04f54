import type { Principal } from "../../identity/principal.ts"
import { type CallService, callerView, messageIn, type ServiceCall } from "./call_service.ts"
import { ERRORS } from "./protocol.ts"
import type { NotPublished } from "./world.ts"

/** A message before it is published. */
export interface ScreenedMessage {
  readonly channel: string
  readonly data: unknown
  /** `undefined`: nobody knows who sends it. */
  readonly principal: Principal | undefined
}

/** It may be published; `data`: this in place of what was sent. */
export interface Passed {
  readonly data: unknown
}

/** Shows a message to the service that screens its namespace. Without an answer it does not pass. */
export async function screenMessage(
  screen: ServiceCall,
  { channel, data, principal }: ScreenedMessage,
  call: CallService,
): Promise<Passed | NotPublished> {
  const answer = await call(screen, { channel, user: callerView(principal), data })
  if (answer === undefined || (answer.status >= 300 && answer.status !== 403)) return "UNAVAILABLE"
  if (answer.status === 403) return { refused: messageIn(answer.value) ?? ERRORS.REFUSED.message }
  const { value } = answer
  return typeof value === "object" && value !== null && "data" in value ? { data: value.data } : PASSED
}

const PASSED: Passed = Object.freeze({ data: undefined })
