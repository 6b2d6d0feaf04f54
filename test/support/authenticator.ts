import { Value } from "typebox/value"
import type { Credentials } from "../../src/identity/authenticated.ts"
import { Authenticator } from "../../src/identity/authenticator.ts"
import type { ClientCertificate } from "../../src/identity/certificate.ts"
import type { AuthFailure, CredentialAnswer, Question, Reply } from "../../src/identity/messages.ts"
import type { Principal } from "../../src/identity/principal.ts"
import { AuthSchema, type AuthSettings } from "../../src/identity/settings.ts"
import { makePrincipal } from "./principal.ts"

export const SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"

/** The section `auth` as a config file would have it, decoded. */
export function authSettings(auth: object = {}): AuthSettings {
  // A copy: defaults are the schema's own objects, and decoding changes them.
  return Value.Decode(AuthSchema, structuredClone(Value.Default(AuthSchema, { secret: SECRET, ...auth })))
}

/** What a request shows of who is calling. */
export function credentials(
  headers: Readonly<Record<string, string>>,
  rest: { client?: string; scheme?: "http" | "https"; certificate?: ClientCertificate } = {},
): Credentials {
  const { client = "192.0.2.1", scheme = "https", certificate } = rest
  return { header: (name) => headers[name], client, scheme, certificate }
}

export const bearer = (token: string): Credentials => credentials({ authorization: `Bearer ${token}` })

/** The answer of a control plane that knows the credential. */
export function known(principal: Partial<Principal>, allowedIps: readonly string[] = []): CredentialAnswer {
  const shown = { method: "session", roles: ["user"], scopes: ["read"], ...principal } as const
  return { kind: "principal", allowedIps, principal: makePrincipal(shown) }
}

/** One worker's authenticator beside a control plane that a test plays; its time stands still until it is moved. */
export class TestAuthenticator {
  readonly questions: Question[] = []
  readonly counted: string[] = []
  readonly reported: AuthFailure[] = []
  /** What the control plane answers. */
  answer: (question: Question) => Promise<Reply | undefined> | Reply | undefined = () => undefined
  now = 0
  wallClock = Date.now()
  readonly it: Authenticator

  constructor(auth: object = {}) {
    this.it = new Authenticator({
      // biome-ignore lint/suspicious/noExplicitAny: a test's answer fits its question
      ask: async (question): Promise<any> => {
        this.questions.push(question)
        return this.answer(question)
      },
      now: () => this.now,
      wallClock: () => this.wallClock,
      count: (method, result) => this.counted.push(`${method} ${result}`),
      report: (failures) => this.reported.push(...failures),
      onRevocationsDropped: () => {},
    })
    this.it.apply(authSettings(auth))
  }

  /** In one word: the caller's id, "anonymous", "unavailable", or the reason of the fault. */
  async ask(shown: Credentials): Promise<string> {
    const result = await this.it.authenticate(shown)
    if (result.kind === "principal") return result.principal.id
    return result.kind === "fault" ? result.reason : result.kind
  }

  /** The principal; throws when there is none. */
  async principal(shown: Credentials): Promise<Principal> {
    const result = await this.it.authenticate(shown)
    if (result.kind !== "principal") throw new Error(`no principal: ${JSON.stringify(result)}`)
    return result.principal
  }

  pass(ms: number): void {
    this.now += ms
    this.wallClock += ms
  }
}
