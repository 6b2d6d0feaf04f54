import { join } from "node:path"
import { writeTurns } from "./load.ts"
import type { Tokens } from "./tokens.ts"

/** What the load asks for, again and again. */
export interface AskedFor {
  readonly path: string
  /** Length of its body when it is a POST; `undefined`: GET. */
  readonly bodyBytes: number | undefined
  /** What the answer's body must be. */
  readonly expect: (body: string) => boolean
}

/** Writes a script for wrk that asks so, each time with the next token; `undefined`: wrk needs none. */
export function wrkScript(
  { path, bodyBytes }: AskedFor,
  tokens: Tokens | undefined,
  directory: string,
): string | undefined {
  if (bodyBytes === undefined && tokens === undefined) return undefined
  const method = bodyBytes === undefined ? "GET" : "POST"
  const body = bodyBytes === undefined ? "nil" : `string.rep("x", ${bodyBytes})`
  const headers = (tokens?.valid ?? [undefined]).map((token) =>
    token === undefined ? "{}" : `{ authorization = "Bearer ${token}" }`,
  )
  const file = join(directory, "requests.lua")
  writeTurns(
    file,
    `local body = ${body}
  for i, headers in ipairs({ ${headers.join(",\n")} }) do
    headers["Host"] = wrk.headers["Host"]
    requests[i] = wrk.format("${method}", "${path}", headers, body)
  end`,
  )
  return file
}
