import type { StaticDecode } from "typebox"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import { Duration } from "../lib/units.ts"

/** Signature algorithms config may name (RFC 7518, RFC 8037). `none` is not one. */
export const ALGORITHM_NAMES = [
  "HS256",
  "HS384",
  "HS512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const
export type AlgorithmName = (typeof ALGORITHM_NAMES)[number]

const names = (description: string) => Type.Array(Type.String({ minLength: 1 }), { default: [], description })

/** In values of records, defaults are filled in only where the value itself has one. */
const FILLED = { default: {} }

const KeySchema = strictObject({
  kid: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 256,
      description: "Key id; default: the key's RFC 7638 thumbprint.",
    }),
  ),
  alg: Type.Enum([...ALGORITHM_NAMES], { description: "The one algorithm this key is used with." }),
  secret: Type.Optional(Type.String({ description: "Secret of an HS… key, at least as long as its hash." })),
  file: Type.Optional(
    Type.String({ description: "PEM file: a private key signs and verifies, a public key verifies." }),
  ),
})

const ClaimNames = strictObject(
  {
    id: Type.String({ default: "sub", description: "Claim with the id of the caller." }),
    roles: Type.String({ default: "roles", description: "Claim with a list of roles, or one text of them." }),
    scopes: Type.String({ default: "scope", description: "Claim with scopes, as a text or a list." }),
    tier: Type.String({ default: "tier", description: "Claim with the tier." }),
  },
  {
    default: {},
    description: "Which claims tell what. A claim's whole name is tried first, then its dots as a path.",
  },
)

const IssuerSchema = strictObject({
  issuer: Type.String({
    minLength: 1,
    description: "`iss` of its tokens, exactly; also where its keys are discovered unless `jwks` tells.",
  }),
  jwks: Type.Optional(
    Type.String({ description: "URL of its JSON Web Key Set; default: by OpenID discovery." }),
  ),
  audience: Type.Array(Type.String({ minLength: 1 }), {
    minItems: 1,
    description: "A token must be for one of these.",
  }),
  algorithms: Type.Array(Type.Enum([...ALGORITHM_NAMES]), {
    default: ["RS256", "ES256"],
    minItems: 1,
    description: "Algorithms accepted from it; never HS….",
  }),
  claims: ClaimNames,
  id_prefix: Type.String({
    default: "",
    description: "Put before the id, so that ids of two issuers cannot be taken for each other.",
  }),
})

const RoleSchema = strictObject(
  {
    permissions: names("What the role allows, e.g. `stories:write`; `*` is everything."),
    scopes: names("Scopes a user with this role is given."),
    includes: names("Roles this one brings along."),
  },
  FILLED,
)

/** A default of a record is taken as it is: nothing in it is filled in. */
const role = (given: { permissions?: string[]; scopes?: string[]; includes?: string[] }) => ({
  permissions: [],
  scopes: [],
  includes: [],
  ...given,
})

const RegistrationSchema = strictObject(
  {
    enabled: Type.Boolean({ default: false, description: "Whether anybody may create an account." }),
    role: Type.String({ default: "user", description: "Role of a new account." }),
    verify_email: Type.Boolean({
      default: false,
      description: "Whether the email address must be verified before the first sign-in.",
    }),
  },
  { default: {}, description: "Accounts people create themselves." },
)

const PasswordSchema = strictObject(
  {
    min_length: Type.Integer({ minimum: 8, maximum: 64, default: 12, description: "Shortest password." }),
    blocked: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description:
        "Words no password may contain, such as the name of the product; beside a built-in list of common ones.",
    }),
  },
  { default: {}, description: "What a password must be (at most 128 characters)." },
)

const LockoutSchema = strictObject(
  {
    free_attempts: Type.Integer({
      minimum: 1,
      maximum: 100,
      default: 3,
      description: "Failed sign-ins without a delay; after that each doubles the wait, from one second.",
    }),
    attempts: Type.Integer({
      minimum: 2,
      maximum: 1000,
      default: 10,
      description: "Failed sign-ins after which an account is locked.",
    }),
    ip_attempts: Type.Integer({
      minimum: 2,
      maximum: 100_000,
      default: 100,
      description: "Failed sign-ins after which an address (IPv6: its /64) is locked.",
    }),
    duration: Duration({
      default: "15m",
      description: "How long a lock lasts; failures older than this are forgotten.",
    }),
  },
  { default: {}, description: "Against guessing of passwords." },
)

const SessionSchema = strictObject(
  {
    cookie: Type.String({
      pattern: "^[A-Za-z0-9_-]{1,64}$",
      default: "gh_session",
      description: "Name of the cookie; over https it is sent with the prefix `__Host-`.",
    }),
    same_site: Type.Enum(["lax", "strict"], { default: "lax", description: "SameSite of the cookie." }),
    ttl: Duration({ default: "30d", description: "Longest life of a sign-in by cookie." }),
    idle: Duration({ default: "7d", description: "A sign-in by cookie that is not used this long ends." }),
    return_to: Type.Array(Type.String(), {
      default: [],
      description:
        "Origins a browser may be sent to after sign-in with a provider; paths of this host always.",
    }),
  },
  { default: {}, description: "Sign-in of browsers by cookie." },
)

const FamilySchema = strictObject(
  {
    parent_role: Type.String({ default: "parent", description: "Role that may create and manage children." }),
    child_role: Type.String({ default: "child", description: "Role of a child's account." }),
    max_children: Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 20,
      description: "Children of one parent.",
    }),
  },
  { default: {}, description: "Parent and child accounts." },
)

const MailSchema = strictObject(
  {
    smtp: Type.String({ description: "smtp://user:password@host:587 or smtps://…" }),
    from: Type.String({ description: "Sender." }),
    reset_url: Type.String({
      pattern: "\\{token\\}",
      description: "Page for a new password; `{token}` is replaced.",
    }),
    verify_url: Type.String({
      pattern: "\\{token\\}",
      description: "Page that verifies an address; `{token}` is replaced.",
    }),
  },
  { description: "Mail server for reset and verification; without it they become events." },
)

const ProviderSchema = strictObject(
  {
    issuer: Type.String({ description: "Issuer URL of the OpenID provider; its settings are discovered." }),
    client_id: Type.String({ minLength: 1, description: "This gateway's client id at the provider." }),
    client_secret: Type.Optional(
      Type.String({ description: "Client secret; without it the client is public (PKCE)." }),
    ),
    scopes: Type.Array(Type.String({ minLength: 1 }), {
      default: ["openid", "email"],
      description: "Scopes asked for; `openid` must be among them.",
    }),
    role: Type.String({ default: "user", description: "Role of an account made at the first sign-in." }),
    create_accounts: Type.Boolean({
      default: true,
      description:
        "Whether a first sign-in makes an account; else only people may sign in who have one, with the address the provider has verified.",
    }),
  },
  FILLED,
)

const CertificateSchema = strictObject({
  id: Type.String({ minLength: 1, description: "Id of the principal." }),
  subject: Type.Optional(Type.String({ description: "Subject in RFC 4514 form, e.g. `CN=billing,O=Acme`." })),
  dns: Type.Optional(Type.String({ description: "A DNS name among the subject's alternative names." })),
  uri: Type.Optional(Type.String({ description: "A URI among the alternative names, e.g. a SPIFFE id." })),
  fingerprint: Type.Optional(Type.String({ description: "SHA-256 of the certificate, in hex." })),
  roles: names("Roles of the principal."),
  scopes: names("Scopes of the principal."),
})

export const FORWARD_MODES = ["headers", "jwt", "none"] as const

export const AuthSchema = strictObject(
  {
    issuer: Type.String({
      minLength: 1,
      default: "gatehouse",
      description: "`iss` of tokens the gateway issues.",
    }),
    audience: Type.String({
      minLength: 1,
      default: "api",
      description: "`aud` of tokens the gateway issues and takes.",
    }),
    secret: Type.Optional(
      Type.String({
        minLength: 32,
        description: "Signs and verifies the gateway's tokens with HS256; or see `keys`.",
      }),
    ),
    keys: Type.Array(KeySchema, {
      default: [],
      maxItems: 16,
      description:
        "Keys of the gateway's own tokens: the first that can sign does, all verify. For rotation, put the new one first.",
    }),
    access_token_ttl: Duration({ default: "15m", description: "Life of an access token (at most 24h)." }),
    refresh_token_ttl: Duration({ default: "30d", description: "Life of a refresh token." }),
    refresh_token_max_life: Duration({
      default: "180d",
      description:
        "Longest life of a sign-in by tokens: no refresh extends it beyond, then its owner signs in again.",
    }),
    refresh_grace: Duration({
      default: "10s",
      description:
        "How long a refresh token that was just used gives its successor again, so that two tabs do not log a user out; later use ends the sign-in.",
    }),
    leeway: Duration({
      default: "30s",
      description: "Clock difference allowed for in tokens (at most 60s).",
    }),
    audit_retention: Duration({
      default: "400d",
      description: "How long the audit record is kept (at least 1d); older entries are deleted.",
    }),
    https: Type.Enum(["required", "off"], {
      default: "required",
      description: "Whether the endpoints of this section answer over https only. `off` is for development.",
    }),
    public_url: Type.Optional(
      Type.String({
        description:
          "Origin browsers know the gateway by, e.g. `https://api.example.com`, for providers to send them back to and for `/.well-known/openid-configuration`; default: the host that was asked, for the latter the issuer if it is an address.",
      }),
    ),
    prefixes: Type.Array(Type.String({ pattern: "^(/[A-Za-z0-9_.-]+)*$" }), {
      default: ["/api/v1", "/api"],
      minItems: 1,
      maxItems: 8,
      uniqueItems: true,
      description: "The endpoints are at `<prefix>/auth/…` and `<prefix>/users/me`.",
    }),
    issuers: Type.Array(IssuerSchema, {
      default: [],
      maxItems: 32,
      description: "Others whose tokens are accepted, such as Auth0 or Keycloak.",
    }),
    roles: Type.Record(Type.String({ pattern: "^[A-Za-z][A-Za-z0-9_:.-]{0,63}$" }), RoleSchema, {
      default: {
        user: role({ scopes: ["read", "write"] }),
        parent: role({ includes: ["user"] }),
        child: role({ scopes: ["read"] }),
        admin: role({ permissions: ["*"], scopes: ["read", "write", "admin"] }),
      },
      description: "Roles and what they allow.",
    }),
    tiers: Type.Array(Type.String({ minLength: 1 }), {
      default: ["free", "premium", "enterprise"],
      minItems: 1,
      uniqueItems: true,
      description: "Tiers of accounts; the first is that of a new one.",
    }),
    registration: RegistrationSchema,
    passwords: PasswordSchema,
    lockout: LockoutSchema,
    session: SessionSchema,
    family: FamilySchema,
    mail: Type.Optional(MailSchema),
    providers: Type.Record(Type.String({ pattern: "^[a-z][a-z0-9_-]{0,31}$" }), ProviderSchema, {
      default: {},
      description: "OpenID providers people may sign in with, by name.",
    }),
    certificates: Type.Array(CertificateSchema, {
      default: [],
      maxItems: 1000,
      description:
        "Principals by client certificate; the first that fits. A certificate that fits none proves nobody.",
    }),
    forward: Type.Enum([...FORWARD_MODES], {
      default: "headers",
      description:
        "How services learn who calls: `headers` (X-User-Id, X-User-Roles, …), `jwt` (a token of one minute, signed for that service, in place of Authorization) or `none`.",
    }),
  },
  {
    description:
      "Who may call. With this section every route needs a caller who proved its identity, unless it says `auth: { required: false }`.",
  },
)

/** The `auth` section, decoded: durations in milliseconds, defaults filled in. */
export type AuthSettings = StaticDecode<typeof AuthSchema>
