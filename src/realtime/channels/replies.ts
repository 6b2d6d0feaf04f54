import type { Subscribed } from "./hub_messages.ts"
import { type CommandName, type ErrorCode, errorBody, type ResultOf } from "./protocol.ts"

export const replyText = <N extends CommandName>(id: number, result: ResultOf<N>): string =>
  JSON.stringify({ id, result })

export const errorText = (id: number, code: ErrorCode, message?: string): string =>
  JSON.stringify({ id, error: errorBody(code, message) })

/** The same as `replyText`, without reading the publications again. */
export function subscribedText(
  id: number,
  { position, recovered, publications }: Subscribed,
  ack: boolean,
): string {
  const head = `{"id":${id},"result":{"position":${JSON.stringify(position)},"recovered":${recovered}`
  return `${head},"publications":[${publications.join(",")}],"ack":${ack}}}`
}
