import type { ASTNode, Environment } from "@marcbachmann/cel-js"
import type { Principal } from "../identity/principal.ts"
import { judgeRegex } from "../lib/safe_regex.ts"
import { didYouMean } from "../lib/suggest.ts"
import { TOKEN } from "../lib/token.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { readParameters } from "./auth_parameters.ts"
import { isReservedField } from "./header_rules.ts"

/** Longest condition, in characters. */
const MAX_LENGTH = 1024
/** Stands for accounts without an age limit: then `principal.age_limit >= 16` says what it seems to. */
const NO_AGE_LIMIT = 1000n

/** A principal by the names and types conditions know. A class: the library tells types by their constructor. */
class Caller {
  readonly id: string
  readonly kind: string
  readonly method: string
  readonly issuer: string
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly permissions: readonly string[]
  readonly tier: string
  readonly session_id: string
  readonly token_id: string
  readonly parent_id: string
  readonly age_limit: bigint
  readonly blocked_content: readonly string[]
  readonly claims: Readonly<Record<string, unknown>>

  constructor(principal: Principal) {
    this.id = principal.id
    this.kind = principal.kind
    this.method = principal.method
    this.issuer = principal.issuer
    this.roles = principal.roles
    this.scopes = principal.scopes
    this.permissions = principal.permissions
    this.tier = principal.tier
    this.session_id = principal.sessionId
    this.token_id = principal.tokenId
    this.parent_id = principal.parentId
    this.age_limit = principal.ageLimit === undefined ? NO_AGE_LIMIT : BigInt(Math.floor(principal.ageLimit))
    this.blocked_content = principal.blockedContent
    this.claims = principal.claims
  }
}

/** Principals are kept by the identity caches, so their views are worth keeping as long. */
const callers = new WeakMap<Principal, Caller>()

/** A principal as conditions see it. */
export function callerOf(principal: Principal): object {
  let caller = callers.get(principal)
  if (caller === undefined) {
    caller = new Caller(principal)
    callers.set(principal, caller)
  }
  return caller
}

let environment: Environment | undefined

/**
 * What conditions are read by. Loaded with the first of them: the library costs 12 MB of memory that a gateway
 * without conditions does not need.
 */
function theEnvironment(): Environment {
  environment ??= createEnvironment()
  return environment
}

function createEnvironment(): Environment {
  const strings = "map<string, string>"
  return principalEnvironment()
    .registerVariable("path", strings)
    .registerVariable("query", strings)
    .registerVariable("headers", strings)
    .registerVariable("method", "string")
}

/** What any condition on a `principal` is read by; see `callerOf`. */
export function principalEnvironment(): Environment {
  // Policies are compiled without waiting, so this is no import().
  const { Environment } = require("@marcbachmann/cel-js") as typeof import("@marcbachmann/cel-js")
  return new Environment({ limits: { maxAstNodes: 200, maxDepth: 24, maxListElements: 100 } })
    .registerType("Caller", {
      ctor: Caller,
      fields: {
        id: "string",
        kind: "string",
        method: "string",
        issuer: "string",
        roles: "list<string>",
        scopes: "list<string>",
        permissions: "list<string>",
        tier: "string",
        session_id: "string",
        token_id: "string",
        parent_id: "string",
        age_limit: "int",
        blocked_content: "list<string>",
        claims: "map<string, dyn>",
      },
    })
    .registerVariable("principal", "Caller")
}

/** Names a condition asks the request for. */
export interface Named {
  readonly path: Set<string>
  readonly query: Set<string>
  readonly headers: Set<string>
}
type Place = keyof Named

/** What is wrong with a condition, for the one who wrote it. */
class ConditionFault extends Error {}

/** A condition in CEL, ready to be asked. */
export interface Condition {
  /** A text: why it cannot be told, for the log. */
  holds(exchange: Exchange, principal: Principal): boolean | string
}

/**
 * Compiles a condition for a route with these path parameters (`*` is what a wildcard matched). A text: what is
 * wrong with it, and where.
 */
export function compileCondition(text: string, parameters: readonly string[]): Condition | string {
  const named: Named = { path: new Set(), query: new Set(), headers: new Set() }
  const ask = compileQuestion(theEnvironment, text, named, parameters)
  return typeof ask === "string" ? ask : createCondition(ask, named)
}

/** Answers a condition for the values of its variables; throws where it cannot be told. */
export type Question = (activation: object) => unknown

/**
 * Compiles a condition to read by an environment. `named`: where names it asks of the request are noted. A text: what
 * is wrong with it, and where.
 */
export function compileQuestion(
  environment: () => Environment,
  text: string,
  named: Named = { path: new Set(), query: new Set(), headers: new Set() },
  parameters: readonly string[] = [],
): Question | string {
  if (text.length > MAX_LENGTH) return `is longer than ${MAX_LENGTH} characters`
  try {
    const expression = environment().parse(text)
    collect(expression.ast, named)
    for (const name of named.path) checkParameter(name, parameters)
    for (const name of named.headers) checkHeader(name)
    const { valid, type, error } = expression.check()
    if (!valid) throw error
    if (type !== "bool" && type !== "dyn") throw new ConditionFault(`gives ${type}, not true or false`)
    return (activation) => expression(activation)
  } catch (error) {
    return describe(error, text)
  }
}

function createCondition(ask: Question, named: Named): Condition {
  const query = [...named.query]
  const headers = [...named.headers]
  return {
    holds(exchange, principal) {
      const parameters = readParameters(exchange.query, query)
      if (typeof parameters === "string") return parameters
      const lines: Record<string, string> = {}
      for (let i = 0; i < headers.length; i++) {
        const value = exchange.header(headers[i]!)
        if (value !== undefined) lines[headers[i]!] = value
      }
      try {
        const result = ask({
          path: exchange.params,
          query: parameters,
          headers: lines,
          method: exchange.method,
          principal: callerOf(principal),
        })
        return typeof result === "boolean" ? result : "the condition gives neither true nor false"
      } catch (error) {
        return `the condition cannot be told: ${summary(error)}`
      }
    },
  }
}

/**
 * Notes every name asked of `path`, `query` and `headers`: they are read out for each request, so they must be
 * plain in the text. Patterns must be too: they are judged before they meet what a client sent.
 */
function collect(node: unknown, named: Named): void {
  if (Array.isArray(node)) {
    for (const each of node) collect(each, named)
    return
  }
  if (typeof node !== "object" || node === null || !("op" in node)) return
  const { op, args } = node as ASTNode
  const [first, second] = Array.isArray(args) ? (args as unknown[]) : []
  if (op === "id" && isPlace(args)) {
    throw new ConditionFault(
      `${args} cannot be used as a whole; ask for a name in it, as in ${args}.id or "id" in ${args}`,
    )
  }
  if (op === "." || op === ".?") {
    const place = placeOf(first)
    if (place !== undefined) return void named[place].add(String(second))
  } else if (op === "[]" || op === "[?]") {
    const place = placeOf(first)
    if (place !== undefined) return void named[place].add(literal(second, `the name in ${place}[…]`))
  } else if (op === "in") {
    const place = placeOf(second)
    if (place !== undefined) return void named[place].add(literal(first, `what is asked for in ${place}`))
  } else if ((op === "call" || op === "rcall") && first === "matches") {
    const pattern = literal((args.at(-1) as unknown[]).at(-1), "the pattern of matches()")
    const cost = judgeRegex(pattern)
    if (cost.kind === "refused") throw new ConditionFault(`the pattern of matches() ${cost.reason}`)
    if (cost.kind === "quadratic")
      throw new ConditionFault("the pattern of matches() takes quadratic time; anchor it with ^")
  }
  collect(args, named)
}

function isPlace(name: unknown): name is Place {
  return name === "path" || name === "query" || name === "headers"
}

function placeOf(node: unknown): Place | undefined {
  const { op, args } = (node ?? {}) as Partial<ASTNode>
  return op === "id" && isPlace(args) ? args : undefined
}

function literal(node: unknown, what: string): string {
  const { op, args } = (node ?? {}) as Partial<ASTNode>
  if (op === "value" && typeof args === "string") return args
  throw new ConditionFault(`${what} must be a plain text in quotes`)
}

function checkParameter(name: string, parameters: readonly string[]): void {
  if (parameters.includes(name)) return
  throw new ConditionFault(`the path of the route has no "${name}"${didYouMean(name, parameters)}`)
}

function checkHeader(name: string): void {
  if (!TOKEN.test(name) || name !== name.toLowerCase())
    throw new ConditionFault(`"${name}" is no header name in lower case`)
  if (isReservedField(name)) throw new ConditionFault(`the header ${name} is never taken from a client`)
}

function describe(error: unknown, text: string): string {
  const start = (error as { range?: { start: number } }).range?.start
  const where = start === undefined ? "" : ` at character ${start + 1}, after \`${text.slice(0, start)}\``
  return `${summary(error)}${where}`
}

/** Without the drawing of the place. */
function summary(error: unknown): string {
  const { summary, message } = error as { summary?: string; message: string }
  return summary ?? message
}
