import type { Log } from "../observe/log.ts"
import { StoreError } from "../store/sql.ts"
import type { AuditRecord, IdentityContext } from "./context.ts"
import type { AuthFailure } from "./messages.ts"

/**
 * Writes refusals into the audit record, in one transaction; into the log where there is no store (`context` is
 * `undefined`). Never rejects: what cannot be written is logged as an error.
 */
export async function recordFailures(
  failures: readonly AuthFailure[],
  context: Pick<IdentityContext, "store" | "audit"> | undefined,
  log: Log,
): Promise<void> {
  if (context === undefined) {
    for (const { reason, client, route, requestId, actor, count } of failures)
      log.info("auth.refused", { reason, client, route, request_id: requestId, actor, count })
    return
  }
  try {
    await context.store.transaction(async (sql) => {
      for (const failure of failures) await context.audit(sql, toRecord(failure))
    })
  } catch (error) {
    log.error("store.unavailable", { kind: error instanceof StoreError ? error.kind : "failed", error })
  }
}

const toRecord = ({ reason, client, route, requestId, actor, count }: AuthFailure): AuditRecord => ({
  action: "auth.refused",
  outcome: "failure",
  actor,
  subject: route,
  client,
  requestId,
  details: { reason, count },
})
