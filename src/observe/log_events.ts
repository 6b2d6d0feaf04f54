/** Least serious first. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

type Row = readonly [event: string, level: LogLevel, doc: string]

/** Every event of the gateway's own log, as `noun.what_happened`, with its level and meaning. For the reference page too. */
export const LOG_EVENTS = [
  ["gateway.started", "info", "Clients are answered; with the addresses, the workers and the time it took."],
  ["gateway.stopping", "info", "A `signal` ends the gateway: from now on it drains."],
  ["gateway.cut_off", "warn", "`workers` were still busy when `server.shutdown_timeout` was over."],
  ["gateway.stopped", "info", "Everything is closed."],
  ["config.applied", "info", "A reload is in force, as this `generation`; with its warnings."],
  ["config.restart_needed", "warn", "The new config changes `settings` that take effect at the next start."],
  ["config.rejected", "error", "A reload was refused for these `problems`; the old config stays in force."],
  ["tls.replaced", "info", "New connections get the new certificate."],
  ["tls.rejected", "error", "The new certificate cannot be used; the old one stays."],
  ["tls.client_refused", "debug", "A `peer` did not get in, as its certificate is missing or bad: `reason`."],
  ["admin.token", "warn", "The random admin `token` of this run, as the config has none."],
  ["admin.denied", "warn", "A request to the admin port without the token."],
  ["circuit.opened", "warn", "A `service` kept failing: requests to it get 503 at once."],
  ["circuit.closed", "warn", "The `service` answers again."],
  ["circuit.reset", "warn", "An operator closed the circuit of a `service`."],
  ["instance.unhealthy", "warn", "Its health checks failed; with the last `reason`."],
  ["instance.healthy", "warn", "Its health checks pass again."],
  ["instance.ejected", "warn", "It failed real traffic and gets none for `for_ms`."],
  ["instance.returned", "warn", "An operator ended the ejections of a `service`: `returned` of them."],
  [
    "instance.address_refused",
    "error",
    "Its name led to link-local `addresses`, which are not connected to.",
  ],
  [
    "registry.registered",
    "info",
    "An `instance` of a `service` registered itself, here or at another gateway.",
  ],
  ["registry.changed", "info", "An `instance` of a `service` registered again with other words."],
  ["registry.draining", "warn", "An `instance` of a `service` gets nothing new from now on."],
  ["registry.undrained", "warn", "An `instance` of a `service` gets requests again."],
  ["registry.deregistered", "info", "An `instance` of a `service` left."],
  ["registry.expired", "warn", "An `instance` of a `service` sent no heartbeat within its TTL, and left."],
  ["registry.unread", "error", "Redis holds an `instance` that is none; it is left out. Told once."],
  [
    "store.failing",
    "error",
    "Statements fail, for a `reason`. At most one line a minute for each `kind`; `untold` came between.",
  ],
  ["store.migrated", "info", "The schema of the store was brought up to date by these `steps`."],
  ["store.unavailable", "error", "The store did not do what it was asked, for the reason of its `kind`."],
  [
    "revocations.unread",
    "error",
    "What other VMs have revoked cannot be read; what this VM revokes holds here, and it is tried on.",
  ],
  ["revocations.read", "info", "What other VMs have revoked is read again."],
  ["revocations.full", "error", "More was revoked than is `kept` in memory: the oldest are forgotten."],
  ["identity.fault", "error", "A bug in what answers for accounts; the request was answered with 500."],
  ["auth.refused", "info", "A caller was refused, for a `reason`; with a store this is an audit record."],
  ["issuer.keys", "info", "Keys of an `issuer` were fetched: `count` of them, `skipped` of no use."],
  [
    "issuer.unavailable",
    "warn",
    "Keys of an `issuer` cannot be fetched, for a `reason`; those known stay in use.",
  ],
  [
    "provider.unavailable",
    "warn",
    "An OpenID `provider` does not answer as it should, for a `reason`; what it said last stays in use.",
  ],
  ["provider.refused", "warn", "A sign-in that a `provider` sent back is not taken, for a `reason`."],
  [
    "revocations.dropped",
    "error",
    "There were more revocations than a worker keeps: `dropped` of them ended before their time.",
  ],
  ["mail.failed", "error", "A mail could not be sent, for a `reason`; it is kept as an event."],
  [
    "limit.exceeded",
    "info",
    "A request over a rate `limit`; in `mode` shadow it went on. At most 10 lines a second of each worker; `untold` came between.",
  ],
  [
    "client.violation",
    "info",
    "A request of a `client` was scored, for a `violation`. At most 10 lines a second of each worker; `untold` came between.",
  ],
  [
    "client.blocked",
    "warn",
    "A `client` gets no answers but 403 for `duration_s`, the `times`-th time, for a `reason`; in `mode` shadow it does. At most 10 lines a second; `untold` came between.",
  ],
  [
    "client.unblocked",
    "info",
    "A `client` may come again; `why`: time, lifted (by an operator or a reload) or room (for others). At most 10 lines a second; `untold` came between.",
  ],
  [
    "limits.joined",
    "info",
    "Callers are told apart as on the other machines: all begin with a full bucket here.",
  ],
  ["redis.available", "info", "Redis answers; `first` since the start."],
  [
    "redis.unavailable",
    "error",
    "Redis does not answer as it should, for a `reason`: until it does, each machine limits by itself.",
  ],
  [
    "quota.warning",
    "warn",
    "A `subject` has used 80 or 100 `percent` of a `quota`; once a period for each. With a row in the table of events.",
  ],
  ["quota.not_returned", "warn", "Units of requests that failed could not be given back: they stay used."],
  ["usage.lost", "error", "Usage of so many `requests` could not be kept; the store is away for too long."],
  [
    "load.shedding",
    "warn",
    "A worker cannot keep up and refuses requests of these `classes`, for a `reason`: lag or memory.",
  ],
  ["load.normal", "info", "The worker has refused nothing for a second."],
  ["request.failed", "warn", "A request was refused with `code`; `cause` is what really happened."],
  ["worker.lost", "error", "A worker thread died or hung; another starts in `restart_in_ms`."],
  ["worker.replaced", "info", "The new thread answers clients."],
  ["request.fault", "error", "A bug of the gateway: the request was answered with 500."],
  [
    "response.fault",
    "error",
    "An answer that cannot be sent, as of a header with a line break; it became a 500.",
  ],
  ["policy.fault", "error", "A bug in a step of a `policy`."],
  ["upgrade.fault", "error", "The runtime refused to complete a WebSocket handshake."],
  ["websocket.fault", "error", "A bug in a WebSocket's handler; its client was closed with 1011."],
  ["door.fault", "error", "A bug in what reads requests; the request was answered with 500."],
  ["admin.fault", "error", "A bug in the admin API; the request was answered with 500."],
  [
    "process.fault",
    "error",
    "A bug that nothing caught: counted, and the process goes on. At most 20 a minute.",
  ],
] as const satisfies readonly Row[]

export type LogEvent = (typeof LOG_EVENTS)[number][0]
