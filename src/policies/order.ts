import { accept } from "./accept.ts"
import { accessLog } from "./access_log.ts"
import { auth } from "./auth.ts"
import { bodyLimit } from "./body_limit.ts"
import { compress } from "./compress.ts"
import { cors } from "./cors.ts"
import { deprecated } from "./deprecated.ts"
import { editHeaders } from "./edit_headers.ts"
import { messageRules } from "./message_rules.ts"
import { messageSchema } from "./message_schema.ts"
import { priority } from "./priority.ts"
import { quota } from "./quota.ts"
import { rateLimit } from "./rate_limit.ts"
import { requestId } from "./request_id.ts"
import { requireHeaders } from "./require_headers.ts"
import { trace } from "./trace.ts"
import { validate } from "./validate.ts"

/**
 * Every policy a route can ask for, in running order: request steps run from top to bottom, response steps
 * from bottom to top. The config type, validation, JSON Schema, reference and `explain` derive from this list.
 */
export const ORDER = [
  requestId,
  trace,
  accessLog,
  // Before whatever can refuse: a preflight carries no credentials, and a refusal too needs its CORS headers,
  // or the page that asked cannot read it.
  cors,
  // Above all that reads or changes answers: on the way back it is the last to touch the body and sees the
  // final headers.
  compress,
  // Who is calling and whether they may, before anything of the request is looked at.
  auth,
  // Before whatever treats the important ones otherwise.
  priority,
  // As soon as it is known who calls, and before a body is read for them.
  rateLimit,
  // After the limits that cost nothing to ask, and before anything is used.
  quota,
  // The cheap questions first: by length, by one header; then by reading the body.
  bodyLimit,
  accept,
  requireHeaders,
  validate,
  deprecated,
  // Nearest to the service: its edits are what the service sees, and the policies above see the answer as
  // edited, so that an edit of Content-Type or Vary is not lost on compress and cors.
  editHeaders,
] as const

/**
 * Every policy a namespace of channels can ask for, in running order: each sees a message clients publish as those above
 * have left it. The config type, validation and reference of `messages` derive from this list.
 */
export const MESSAGE_ORDER = [
  // What has not the right shape need not be read.
  messageSchema,
  messageRules,
] as const
