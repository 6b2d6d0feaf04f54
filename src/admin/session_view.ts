import type { Session } from "../identity/sessions.ts"
import { isoDate } from "../lib/iso_date.ts"

/** A sign-in as its owner and operators see it. */
export function sessionView(session: Session) {
  return {
    id: session.id,
    kind: session.kind,
    ip: session.clientIp,
    user_agent: session.userAgent,
    created_at: isoDate(session.createdAt),
    last_used_at: isoDate(session.lastUsedAt),
    expires_at: isoDate(session.expiresAt),
  }
}
