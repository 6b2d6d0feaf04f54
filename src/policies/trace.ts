import { Type } from "../lib/type.ts"
import {
  boundBaggage,
  isTracestate,
  newSpanId,
  newTraceId,
  parseTraceparent,
} from "../observe/trace_context.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { definePolicy } from "./policy.ts"

const FLAGS = ["00", "01", "02", "03"] as const
const SAMPLED = 0b01
const RANDOM = 0b10

export const trace = definePolicy({
  name: "trace",
  doc: "Continues the client's trace or starts one (W3C Trace Context) and passes it on to the service.",
  failsClosed: false,
  always: true,
  schema: Type.Object(
    {
      trust: Type.Boolean({
        default: true,
        description:
          "Continue traces of clients. false: start each anew and drop their tracestate and baggage.",
      }),
      sample: Type.Number({
        minimum: 0,
        maximum: 1,
        default: 1,
        description:
          "Share of traces started here that carry the sampled flag; a continued one keeps its own.",
      }),
    },
    { additionalProperties: false },
  ),
  compile({ trust, sample }, { random }) {
    return {
      request(exchange) {
        const sent = trust ? exchange.header("traceparent") : undefined
        const parent = sent === undefined ? undefined : parseTraceparent(sent)
        let flags: number
        if (parent === undefined) {
          exchange.traceId = newTraceId(random)
          flags = random() < sample ? RANDOM | SAMPLED : RANDOM
        } else {
          exchange.traceId = parent.traceId
          flags = parent.flags
        }
        exchange.spanId = newSpanId(random)
        exchange.requestEdits.set("traceparent", `00-${exchange.traceId}-${exchange.spanId}-${FLAGS[flags]}`)

        // State belongs to the trace it came with: a new trace starts without.
        const state = exchange.header("tracestate")
        if (state !== undefined && (parent === undefined || !isTracestate(state)))
          exchange.requestEdits.drop("tracestate")
        const baggage = exchange.header("baggage")
        if (baggage !== undefined) passBaggage(exchange, trust ? boundBaggage(baggage) : "", baggage)
        return undefined
      },
    }
  },
})

function passBaggage(exchange: Exchange, kept: string, sent: string): void {
  if (kept === "") exchange.requestEdits.drop("baggage")
  else if (kept !== sent) exchange.requestEdits.set("baggage", kept)
}
