import { scanSection } from "../../src/http1/head.ts"
import { now } from "../../src/lib/clock.ts"
import { canonicalHost, canonicalPath } from "../../src/lib/target.ts"
import type { Arrival } from "../../src/upstream/exchange.ts"

/** A request out of plain bytes, as a door without any runtime's server would make it. Throws on a bad head. */
export function arrivalOf(bytes: string | Buffer, peer = "192.0.2.1"): Arrival {
  const buffer = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes
  const lineEnd = buffer.indexOf("\r\n")
  const [method = "", target = "", protocol = ""] = buffer.latin1Slice(0, lineEnd).split(" ")
  const fields = scanSection(buffer, lineEnd + 2, 198)
  if (fields.kind !== "complete") throw new Error(`no request head: ${JSON.stringify(fields)}`)
  const question = target.indexOf("?")
  const path = canonicalPath(question < 0 ? target : target.slice(0, question))
  const host = canonicalHost(fields.get("host") ?? "")
  if (path === undefined || host === undefined) throw new Error(`no target: ${target}`)
  return {
    method,
    path: path.path,
    ambiguousPath: path.ambiguous,
    query: question < 0 ? "" : target.slice(question + 1),
    scheme: "http",
    host,
    peer,
    certificate: undefined,
    fields,
    body:
      fields.contentLength === undefined
        ? undefined
        : buffer.subarray(fields.end, fields.end + fields.contentLength),
    startedAt: now(),
    protocol,
    fault: "",
  }
}
