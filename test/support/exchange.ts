import type { Body } from "../../src/http1/body.ts"
import { FieldList } from "../../src/http1/field_list.ts"
import { type Fields, HOP_BY_HOP } from "../../src/http1/fields.ts"
import { type Answer, type Arrival, Exchange, type RouteInfo } from "../../src/upstream/exchange.ts"

/** Header lines in wire order; a repeated name is a repeated line. */
export type HeaderLines = readonly (readonly [name: string, value: string])[]

export interface ExchangeParts extends Partial<Omit<Arrival, "fields">> {
  headers?: HeaderLines | Record<string, string>
  route?: RouteInfo
}

/** Fields from pairs (when a name repeats) or from an object. */
export function makeFields(headers: HeaderLines | Record<string, string> = []): Fields {
  const lines = Array.isArray(headers) ? (headers as HeaderLines) : Object.entries(headers)
  return new FieldList(lines.flatMap(([name, value]) => [name.toLowerCase(), value]))
}

/** An exchange as a door would make it; what is left out is a plain `GET /` from 192.0.2.1. */
export function makeExchange(parts: ExchangeParts = {}): Exchange {
  const { headers, route, ...arrival } = parts
  const exchange = new Exchange(
    {
      method: "GET",
      path: "/",
      ambiguousPath: false,
      query: "",
      scheme: "http",
      host: "gateway.test",
      peer: "192.0.2.1",
      certificate: undefined,
      body: undefined,
      startedAt: 0,
      protocol: "HTTP/1.1",
      fault: "",
      ...arrival,
      fields: makeFields(headers),
    },
    HOP_BY_HOP,
    HOP_BY_HOP,
  )
  exchange.route = route
  return exchange
}

/** An answer as an upstream or a policy would give it. */
export function makeAnswer(
  status = 200,
  headers: HeaderLines | Record<string, string> = [],
  body: Body = undefined,
): Answer {
  return { status, fields: makeFields(headers), body }
}
