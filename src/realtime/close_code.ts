/** Close codes the gateway itself sends (RFC 6455 section 7.4.1 and the IANA registry). */
export const CLOSE = {
  GOING_AWAY: 1001,
  /** Never on the wire: a close frame without code. */
  NO_CODE: 1005,
  /** Never on the wire: the connection ended without a close frame. */
  ABNORMAL: 1006,
  TOO_BIG: 1009,
  SERVICE_RESTART: 1012,
  TRY_LATER: 1013,
  BAD_GATEWAY: 1014,
} as const

/** Whether an endpoint may put this code into a close frame: others make the runtime throw or the peer fail. */
export function isSendable(code: number): boolean {
  if (code >= 1000 && code <= 1014) return code < 1004 || code > 1006
  return code >= 3000 && code <= 4999
}
