import type { Subscribed } from "./hub_messages.ts"
import { type CommandName, type ErrorCode, errorBody, type ResultOf } from "./protocol.ts"

export const replyText = <N extends CommandName>(id: number, result: ResultOf<N>): string =>
  JSON.stringify({ id, result })

export const errorText = (id: number, code: ErrorCode, message?: string): string =>
  JSON.stringify({ id, error: errorBody(code, message) })

/** The same as `replyText`, without reading the publications again. */
export function subscribedText(
  id: number,
  { position, since, recovered, publications, more }: Subscribed,
  ack: boolean,
): string {
  const from = since === undefined ? "" : `,"since":${JSON.stringify(since)}`
  const head = `{"id":${id},"result":{"position":${JSON.stringify(position)}${from},"recovered":${recovered}`
  return `${head},"publications":[${publications.join(",")}],"more":${more},"ack":${ack}}}`
}
