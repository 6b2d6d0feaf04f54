import { isSecretName } from "../observe/redact.ts"

/** Where in the config something is: keys and list positions from the top. */
export type Path = readonly (string | number)[]

/** One thing that is wrong with a config. */
export interface Problem {
  /** E.g. "routes[2].service"; "" for the file as a whole. */
  readonly path: string
  /** What is wrong and what would do, in one sentence without a full stop. Never holds a secret. */
  readonly message: string
  /** What was found, shortened, as JSON; `undefined` when it is absent or may be a secret. */
  readonly value?: string | undefined
  /** Line and column of the file, both from 1; `undefined` where the format does not tell. */
  readonly line?: number | undefined
  readonly column?: number | undefined
}

/** How a message refers to a place. */
export function pathText(path: Path): string {
  let text = ""
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`
    else if (/^[A-Za-z_][\w-]*$/.test(part)) text += text === "" ? part : `.${part}`
    else text += `[${JSON.stringify(shorten(part))}]`
  }
  return text
}

/** `file:12:5: routes[2].service: unknown service "x" (found "x")` */
export function formatProblem(problem: Problem, file: string): string {
  const line = problem.line === undefined ? "" : `:${problem.line}:${problem.column ?? 1}`
  return `${file}${line}: ${problemText(problem)}`
}

/** The same without the place in the file, for the log: `routes[2].service: unknown service "x" (found "x")` */
export function problemText({ path, message, value }: Problem): string {
  return `${path === "" ? "" : `${path}: `}${message}${value === undefined ? "" : ` (found ${value})`}`
}

/** In config a key is a secret: of header names and query parameters it is too common a word. */
const KEY_NAME = /(?:^|[-_])key$/i
/** Settings that only sound like secrets, and what is below them. */
const HARMLESS =
  /^auth\.(?:(?:access|refresh)_token_ttl|passwords|session\.cookie|providers\.[^.]+\.(?!client_secret)|roles)/

/** Whether a value at this place must not be shown. */
export function isSecret(path: Path): boolean {
  if (HARMLESS.test(path.join("."))) return false
  return path.some((part, i) => {
    if (typeof part === "number") return false
    const isServiceName = i === 1 && path[0] === "services"
    return !isServiceName && (isSecretName(part) || KEY_NAME.test(part))
  })
}

const MAX_SHOWN = 80

/** A value as a message shows it; `undefined` when it is absent, too large to help or a secret. */
export function shown(path: Path, value: unknown): string | undefined {
  if (value === undefined || (isSecret(path) && typeof value !== "boolean")) return undefined
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list"
  if (typeof value === "object" && value !== null) return "a mapping"
  if (typeof value === "string" && (value.includes("-----BEGIN") || hasCredentials(value))) return undefined
  return typeof value === "string" ? JSON.stringify(shorten(value)) : String(value)
}

/** `http://user:password@host` or `…?password=…`, however the rest looks. */
function hasCredentials(value: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/(?:[^/]*@|.*\?.*passw)/i.test(value)
}

function shorten(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
