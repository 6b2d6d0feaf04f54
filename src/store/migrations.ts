/** One numbered step of the schema. A step that has been released is never edited: the next one changes it. */
export interface Migration {
  /** 1, 2, 3, … without a gap. */
  readonly id: number
  readonly name: string
  /** Portable SQL: TEXT, BIGINT (times in ms since the epoch, counts), BLOB. No booleans, no JSON type. */
  readonly statements: readonly string[]
}

/** Every step, in order. Lists and objects are JSON in TEXT; secrets are stored as SHA-256 in hex, never themselves. */
export const MIGRATIONS: readonly Migration[] = [
  {
    id: 1,
    name: "identity",
    statements: [
      // `login`: what one signs in with, in lower case: an email address, or a child's name.
      `CREATE TABLE users (
        id TEXT PRIMARY KEY,
        login TEXT NOT NULL UNIQUE,
        email TEXT,
        email_verified_at BIGINT,
        password_hash TEXT,
        display_name TEXT NOT NULL,
        roles TEXT NOT NULL,
        tier TEXT NOT NULL,
        status TEXT NOT NULL,
        parent_id TEXT REFERENCES users(id),
        age_limit BIGINT,
        blocked_content TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
      )`,
      "CREATE INDEX users_parent ON users(parent_id)",
      // Who signed in elsewhere: an OpenID provider's subject and the account it belongs to.
      `CREATE TABLE federated_identities (
        provider TEXT NOT NULL,
        subject TEXT NOT NULL,
        user_id TEXT NOT NULL REFERENCES users(id),
        created_at BIGINT NOT NULL,
        PRIMARY KEY (provider, subject)
      )`,
      "CREATE INDEX federated_identities_user ON federated_identities(user_id)",
      // One a sign-in, of any kind. Ends by `ended_at`, or at `expires_at`.
      `CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users(id),
        kind TEXT NOT NULL,
        cookie_hash TEXT UNIQUE,
        client_ip TEXT NOT NULL,
        user_agent TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        last_used_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        ended_at BIGINT,
        end_reason TEXT
      )`,
      "CREATE INDEX sessions_user ON sessions(user_id)",
      "CREATE INDEX sessions_expiry ON sessions(expires_at)",
      // A family is a session. `successor`: the next token, sealed with a key only the bearer of this one can derive.
      `CREATE TABLE refresh_tokens (
        token_hash TEXT PRIMARY KEY,
        session_id TEXT NOT NULL REFERENCES sessions(id),
        scope TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        used_at BIGINT,
        successor TEXT
      )`,
      "CREATE INDEX refresh_tokens_session ON refresh_tokens(session_id)",
      "CREATE INDEX refresh_tokens_expiry ON refresh_tokens(expires_at)",
      // Short-lived secrets for one use: password reset, email verification, sign-in in progress.
      `CREATE TABLE one_time_tokens (
        token_hash TEXT PRIMARY KEY,
        purpose TEXT NOT NULL,
        user_id TEXT,
        payload TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        used_at BIGINT
      )`,
      "CREATE INDEX one_time_tokens_expiry ON one_time_tokens(expires_at)",
      // `prefix`: the first characters, to tell keys apart. `replaces`: the key this one was rotated from.
      `CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        key_hash TEXT NOT NULL UNIQUE,
        prefix TEXT NOT NULL,
        name TEXT NOT NULL,
        owner TEXT NOT NULL,
        roles TEXT NOT NULL,
        scopes TEXT NOT NULL,
        tier TEXT NOT NULL,
        allowed_ips TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        last_used_at BIGINT,
        revoked_at BIGINT,
        replaces TEXT
      )`,
      // OAuth 2 clients for the client credentials grant.
      `CREATE TABLE clients (
        id TEXT PRIMARY KEY,
        secret_hash TEXT NOT NULL,
        name TEXT NOT NULL,
        roles TEXT NOT NULL,
        scopes TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
      )`,
      // Access refused from now on. Rows live as long as what they revoke could.
      `CREATE TABLE revocations (
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (kind, subject)
      )`,
      "CREATE INDEX revocations_created ON revocations(created_at)",
      // Failed sign-ins by account or address (a keyed hash of it).
      `CREATE TABLE login_failures (
        subject TEXT PRIMARY KEY,
        failures BIGINT NOT NULL,
        last_at BIGINT NOT NULL,
        blocked_until BIGINT NOT NULL
      )`,
      `CREATE TABLE audit_events (
        id TEXT PRIMARY KEY,
        at BIGINT NOT NULL,
        action TEXT NOT NULL,
        outcome TEXT NOT NULL,
        actor TEXT NOT NULL,
        subject TEXT NOT NULL,
        client_ip TEXT NOT NULL,
        request_id TEXT NOT NULL,
        details TEXT NOT NULL
      )`,
      "CREATE INDEX audit_events_at ON audit_events(at)",
      "CREATE INDEX audit_events_subject ON audit_events(subject, at)",
      // What others should be told (mail to send where no SMTP server is set). Taken by id order.
      `CREATE TABLE events (
        id TEXT PRIMARY KEY,
        type TEXT NOT NULL,
        payload TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL
      )`,
      "CREATE INDEX events_created ON events(created_at)",
    ],
  },
  {
    id: 2,
    name: "quotas",
    statements: [
      // Units taken in one period. `allowed`: what was in force when they were last taken, allowances included, and
      // `base` without. `warned`: the percentage that was told of, 0, 80 or 100.
      `CREATE TABLE quota_usage (
        quota TEXT NOT NULL,
        subject TEXT NOT NULL,
        period_start BIGINT NOT NULL,
        period_end BIGINT NOT NULL,
        used BIGINT NOT NULL,
        base BIGINT NOT NULL,
        allowed BIGINT NOT NULL,
        warned BIGINT NOT NULL,
        PRIMARY KEY (quota, subject, period_start)
      )`,
      "CREATE INDEX quota_usage_end ON quota_usage(period_end)",
      // Units beyond the limit in each period, while they hold.
      `CREATE TABLE quota_allowances (
        id TEXT PRIMARY KEY,
        quota TEXT NOT NULL,
        subject TEXT NOT NULL,
        extra BIGINT NOT NULL,
        starts_at BIGINT NOT NULL,
        ends_at BIGINT NOT NULL,
        reason TEXT NOT NULL,
        granted_by TEXT NOT NULL,
        created_at BIGINT NOT NULL
      )`,
      "CREATE INDEX quota_allowances_subject ON quota_allowances(quota, subject, ends_at)",
      "CREATE INDEX quota_allowances_end ON quota_allowances(ends_at)",
      // What was used, for bills. `day`: "2026-01-31", in UTC.
      `CREATE TABLE usage_counts (
        day TEXT NOT NULL,
        subject TEXT NOT NULL,
        route TEXT NOT NULL,
        requests BIGINT NOT NULL,
        errors BIGINT NOT NULL,
        bytes_in BIGINT NOT NULL,
        bytes_out BIGINT NOT NULL,
        PRIMARY KEY (day, subject, route)
      )`,
      "CREATE INDEX usage_counts_subject ON usage_counts(subject, day)",
      // Batches that were added already: one that is tried again counts once.
      `CREATE TABLE usage_batches (
        id TEXT PRIMARY KEY,
        created_at BIGINT NOT NULL
      )`,
      "CREATE INDEX usage_batches_created ON usage_batches(created_at)",
    ],
  },
]
