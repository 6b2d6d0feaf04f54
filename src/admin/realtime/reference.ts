import { MAX_PUBLICATIONS } from "../../realtime/channels/protocol.ts"
import type { Described, DescribedParameter } from "../auth/reference.ts"
import { DEFAULT_LIMIT, PUBLISH_SCOPE } from "./endpoints.ts"
import { DEFAULT_WAIT_S, MAX_WAIT_S } from "./long_poll.ts"
import { MAX_CHANNELS } from "./reading.ts"

const EPOCH = "Yb0zX3Jq2sQ0c5l8m1n4pA"
const POSITION = { epoch: EPOCH, offset: 18 }
const PUBLICATION = { offset: 18, data: { text: "hello" }, publisher: { user: "ann" } }

const CHANNEL: DescribedParameter = {
  name: "channel",
  required: true,
  description: `A channel to read; up to ${MAX_CHANNELS} of them, each as a parameter of its own.`,
  schema: { type: "array", items: { type: "string" }, minItems: 1, maxItems: MAX_CHANNELS },
}
const PLACE = "`epoch:offset` of each channel, in their order, with commas; empty: from now on."
const LIMIT: DescribedParameter = {
  name: "limit",
  description: `At most so many (${DEFAULT_LIMIT}).`,
  schema: { type: "integer", minimum: 1, maximum: MAX_PUBLICATIONS, default: DEFAULT_LIMIT },
}

/** The endpoints of the section `realtime` by method and path below its own, as IDENTITY_REFERENCE has those of identity. */
export const REALTIME_REFERENCE: Readonly<Record<string, Described>> = {
  "GET ": {
    summary: "Connect by WebSocket",
    description:
      "The protocol is described by docs/asyncapi.yaml. Who connects is proved by the handshake, by `ticket`, or by the first command, within 5 s.",
    query: [{ name: "ticket", description: "As `POST …/ticket` gave it." }],
    status: 101,
    failures: ["UPGRADE_REQUIRED", "INVALID_REQUEST", "SHUTTING_DOWN"],
  },
  "GET /sse": {
    summary: "Read channels as server-sent events",
    description:
      "Publications come as plain messages; `subscribed`, `join`, `leave` and `disconnect` as events of that name. The id of each is the place to go on from.",
    query: [CHANNEL, { name: "last_event_id", description: "As `Last-Event-ID`, for who cannot set it." }],
    headers: [{ name: "Last-Event-ID", description: PLACE }],
    media: "text/event-stream",
    answer: `id: ${EPOCH}:18\ndata: {"push":"publication","channel":"session:42","offset":18,"data":{"text":"hello"}}\n\n`,
    failures: ["INVALID_REQUEST", "FORBIDDEN", "NOT_FOUND", "RATE_LIMITED", "SHUTTING_DOWN"],
  },
  "GET /poll": {
    summary: "Read channels by long poll",
    description:
      "Answers when something was published after `since`, or after `wait` seconds with nothing. Without `since` it tells at once where to begin. `lost` names channels that cannot be had from where they should begin.",
    query: [
      CHANNEL,
      { name: "since", description: PLACE },
      {
        name: "wait",
        description: "Seconds to wait for something.",
        schema: { type: "number", minimum: 0, maximum: MAX_WAIT_S, default: Number(DEFAULT_WAIT_S) },
      },
    ],
    answer: {
      since: `${EPOCH}:18`,
      lost: [],
      publications: [{ push: "publication", channel: "session:42", ...PUBLICATION }],
    },
    failures: ["INVALID_REQUEST", "FORBIDDEN", "NOT_FOUND", "RATE_LIMITED", "SHUTTING_DOWN"],
  },
  "POST /ticket": {
    summary: "A ticket to connect with, good once and for 30 s",
    answer: { ticket: "Qm9nFh3yT2KxLw7dVb5sRA", expires_in: 30 },
    failures: [],
  },
  "POST /channels/:name/messages": {
    summary: "Publish on a channel",
    description: `For callers with the scope \`${PUBLISH_SCOPE}\`, and those the namespace lets publish.`,
    headers: [
      {
        name: "Idempotency-Key",
        description: "A second request with it, within 5 minutes, does not publish.",
      },
    ],
    request: { data: { text: "hello" } },
    answer: { position: POSITION, duplicate: false },
    failures: ["INVALID_REQUEST", "INVALID_FIELD", "FORBIDDEN", "NOT_FOUND", "PAYLOAD_TOO_LARGE"],
  },
  "GET /channels/:name/history": {
    summary: "What was published on a channel",
    description: "After a position the oldest first, without one the newest. Who may subscribe may read it.",
    query: [
      LIMIT,
      { name: "epoch", description: "Of the position after which to begin." },
      { name: "offset", description: "Of the same (0).", schema: { type: "integer", minimum: 0 } },
    ],
    answer: { position: POSITION, complete: true, publications: [PUBLICATION] },
    failures: ["INVALID_REQUEST", "FORBIDDEN", "NOT_FOUND"],
  },
  "GET /channels/:name/presence": {
    summary: "Who is subscribed to a channel",
    answer: { members: [{ client: "wX9kq2Jz", user: "ann" }] },
    failures: ["FORBIDDEN", "NOT_FOUND"],
  },
  "GET /channels/:name/dead-letters": {
    summary: "Publications of an at_least_once channel that a subscriber never acknowledged",
    description: `Needs the scope \`${PUBLISH_SCOPE}\`. The newest first.`,
    query: [LIMIT],
    answer: {
      dead_letters: [
        { subscriber: "ann", ...POSITION, data: null, reason: "gone", at: "2026-01-02T12:00:00.000Z" },
      ],
    },
    failures: ["INVALID_REQUEST", "FORBIDDEN", "NOT_FOUND"],
  },
}
