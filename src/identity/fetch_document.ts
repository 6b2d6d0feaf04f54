import { hostOf, unfitIssuerUrl } from "./issuer_url.ts"

/** Longest document, in bytes, after decompression. */
const MAX_BYTES = 1_048_576
/** Longest wait for the whole document, in ms. */
const TIMEOUT_MS = 5000

export interface FetchDeps {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>
  /** Rejects when the name has no address; an IP address is its own. */
  readonly lookUp: (host: string) => Promise<readonly string[]>
  /** Whether an address must not be asked: link-local ones, where clouds keep credentials. */
  readonly isRefused: (address: string) => boolean
  /** Default: 5 s. */
  readonly timeoutMs?: number
}

/** `reason`: for the operator's log, nothing out of the document. */
export type Fetched =
  | {
      readonly ok: true
      readonly document: unknown
      /** `max-age` of Cache-Control in ms, 0 for no-cache and no-store; `undefined`: nothing is said. */
      readonly maxAgeMs: number | undefined
    }
  | { readonly ok: false; readonly reason: string }

const failed = (reason: string) => ({ ok: false, reason }) as const

/** What a server answered with, whatever the status; `text` is the whole body. `reason`: for the operator's log. */
export type Asked =
  | { readonly ok: true; readonly status: number; readonly headers: Headers; readonly text: string }
  | { readonly ok: false; readonly reason: string }

/**
 * Asks a server of an issuer within the bounds of this file: time, size, https unless on this machine, no
 * link-local address. Follows no redirect. Never rejects. `signal` gives it up.
 */
export async function askServer(
  url: string,
  init: Pick<RequestInit, "method" | "headers" | "body">,
  deps: FetchDeps,
  signal: AbortSignal,
): Promise<Asked> {
  const unfit = unfitIssuerUrl(url)
  if (unfit !== undefined) return failed(`the URL ${unfit}`)
  const timeoutMs = deps.timeoutMs ?? TIMEOUT_MS
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    const refused = (await deps.lookUp(hostOf(url))).find(deps.isRefused)
    if (refused !== undefined) return failed(`the host is ${refused}, which is never asked`)
    const response = await deps.fetch(url, {
      ...init,
      redirect: "error",
      signal: AbortSignal.any([timeout, signal]),
    })
    const text = await readText(response)
    if (text === undefined) return failed(`answered with more than ${MAX_BYTES} bytes`)
    return { ok: true, status: response.status, headers: response.headers, text }
  } catch (error) {
    if (timeout.aborted) return failed(`did not answer within ${timeoutMs} ms`)
    const { code, name } = error as NodeJS.ErrnoException
    return failed(`could not be asked: ${code ?? name}`)
  }
}

/** Fetches a JSON document of an issuer. Follows no redirect. Never rejects. `signal` gives it up. */
export async function fetchDocument(url: string, deps: FetchDeps, signal: AbortSignal): Promise<Fetched> {
  const headers = { accept: "application/json, application/jwk-set+json" }
  const asked = await askServer(url, { headers }, deps, signal)
  if (!asked.ok) return asked
  if (asked.status !== 200) return failed(`answered with ${asked.status}`)
  const document = parse(asked.text)
  if (document === undefined) return failed("answered with what is not JSON")
  return { ok: true, document, maxAgeMs: maxAge(asked.headers.get("cache-control")) }
}

async function readText(response: Response): Promise<string | undefined> {
  const decoder = new TextDecoder()
  let text = ""
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    // Leaving the loop cancels the rest.
    if (bytes > MAX_BYTES) return undefined
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Its message would repeat what was found.
    return undefined
  }
}

/** RFC 9111 section 5.2.2. */
function maxAge(cacheControl: string | null): number | undefined {
  if (cacheControl === null) return undefined
  let found: number | undefined
  for (const directive of cacheControl.toLowerCase().split(",")) {
    const [name = "", value = ""] = directive.trim().split("=")
    if (name === "no-cache" || name === "no-store") return 0
    if (name === "max-age" && /^"?\d{1,10}"?$/.test(value)) found = Number(value.replaceAll('"', "")) * 1000
  }
  return found
}
