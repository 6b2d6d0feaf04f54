import { newRequestId } from "../../lib/request_id.ts"
import { headerText } from "../../policies/auth_forward.ts"
import { type CallService, callerView } from "./call_service.ts"
import type { ForwardEvent, ForwardOrder, ForwardOutcome } from "./hub_messages.ts"
import type { ForwardOptions } from "./options.ts"
import type { PublishOptions } from "./world.ts"

type Origin = Pick<PublishOptions, "principal" | "requestId">

/** Whether what this caller publishes is forwarded. */
export const isForwarded = ({ from }: ForwardOptions, { principal }: Origin): boolean =>
  from === "everybody" || principal?.kind !== "service"

/** How a message that is about to be published is to be forwarded. */
export function forwardOrder(options: ForwardOptions, { principal, requestId }: Origin): ForwardOrder {
  const { service, path, timeout, retry_for, max_queue, max_queue_bytes } = options
  return {
    call: { service, path, timeout },
    user: principal === undefined ? "" : headerText(principal.id),
    caller: JSON.stringify(callerView(principal)),
    requestId: requestId ?? newRequestId(),
    retryForMs: retry_for,
    maxMessages: max_queue,
    maxBytes: max_queue_bytes,
  }
}

/** Asks the service once. Never rejects. */
export async function forwardMessage(event: ForwardEvent, call: CallService): Promise<ForwardOutcome> {
  const { channel, epoch, offset, data, order } = event
  const text = `{"channel":"${channel}","epoch":"${epoch}","offset":${offset},"user":${order.caller},"data":${data}}`
  const headers = [
    "x-gatehouse-channel",
    channel,
    "x-gatehouse-epoch",
    epoch,
    "x-gatehouse-offset",
    `${offset}`,
    "x-request-id",
    order.requestId,
    // The same with each attempt, at whatever gateway.
    "idempotency-key",
    `${epoch}-${offset}`,
  ]
  if (order.user !== "") headers.push("x-gatehouse-user", order.user)
  const answer = await call(order.call, text, { headers, statusOnly: true })
  return answer === undefined ? "failed" : outcomeOf(answer.status)
}

/** Statuses by which a service says that it may take the same request later (RFC 9110, 8470, 6585). */
const LATER: readonly number[] = [408, 425, 429]

function outcomeOf(status: number): ForwardOutcome {
  if (status < 300) return "delivered"
  return status >= 500 || LATER.includes(status) ? "failed" : "refused"
}
