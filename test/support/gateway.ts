import { openDoor } from "../../src/edge/open.ts"
import type { Door, TlsPair } from "../../src/edge/serve.ts"
import { Gateway } from "../../src/gateway/gateway.ts"
import { compileRelayLimits } from "../../src/gateway/relay_limits.ts"
import type { Shedding } from "../../src/gateway/shedding.ts"
import type { Builtins } from "../../src/gateway/snapshot.ts"
import { roundClock } from "../../src/http1/round.ts"
import type { Identity } from "../../src/identity/authenticated.ts"
import { now } from "../../src/lib/clock.ts"
import { Accounting } from "../../src/observe/account.ts"
import { SERIES } from "../../src/observe/catalogue.ts"
import { countConnections } from "../../src/observe/connection_counts.ts"
import { createSeriesBuffer, keyMetric, readSeries, Series } from "../../src/observe/series.ts"
import { FAILURES } from "../../src/policies/failure.ts"
import { Relays } from "../../src/realtime/relays.ts"
import { createUpstreamMemory, type UpstreamMemory } from "../../src/upstream/memory.ts"
import { type LookUp, lookUpName } from "../../src/upstream/resolved_address.ts"
import { SlotDirectory } from "../../src/upstream/slots.ts"
import { Upstreams } from "../../src/upstream/upstreams.ts"
import { exampleConfig } from "./config.ts"
import { makeGuard } from "./guard.ts"
import { NOBODY } from "./identity.ts"
import { makeLimits } from "./limits.ts"
import { linesInto } from "./lines.ts"
import { type LoggedEvent, memoryLog } from "./memory_log.ts"
import { UNUSED } from "./quotas.ts"
import { makeShedding } from "./shedding.ts"

export interface TestGateway {
  readonly gateway: Gateway
  readonly shedding: Shedding
  readonly memory: UpstreamMemory
  readonly log: readonly LoggedEvent[]
  /** Access-log lines, parsed. */
  readonly access: readonly Record<string, unknown>[]
  readonly accessText: readonly string[]
  readonly relays: Relays
  /** Requests begun and not finished. */
  inFlight(): number
  /** Requests finished. */
  finished(): number
  /** Applies another config. */
  apply(file: object): void
  close(): void
}

const NO_BUILTINS: Builtins = {
  routes: () => [],
  answer: () => Promise.reject(new Error("no built-ins here")),
}

/** The data plane of one worker without a door, from what a config file would hold. */
export function makeGateway(
  file: object,
  builtins: Builtins = NO_BUILTINS,
  lookUp: LookUp = lookUpName,
  identity: Identity = NOBODY,
): TestGateway {
  const memory = createUpstreamMemory(1)
  const slots = new SlotDirectory(memory, now)
  const log = memoryLog()
  const accessText: string[] = []
  const upstreams = new Upstreams(memory, 0, { now: roundClock, random: Math.random, log, lookUp })
  const shedding = makeShedding({ log })
  const relays = new Relays({ now })
  const table = createSeriesBuffer()
  const read = (metric: number): number => {
    const found = new Map<number, number>()
    readSeries(table, found)
    let sum = 0
    for (const [key, value] of found) if (keyMetric(key) === metric) sum += value
    return sum
  }
  const gateway = new Gateway({
    now,
    usage: { add: () => undefined },
    guard: makeGuard({ log }),
    shedding,
    upstreams,
    builtins,
    accounting: new Accounting(new Series(table), {
      codes: Object.keys(FAILURES),
      serviceId: () => 0,
    }),
    policyDeps: {
      now,
      wallClock: Date.now,
      random: Math.random,
      log,
      identity,
      limits: makeLimits(),
      quotas: UNUSED,
      accessLog: linesInto(accessText),
    },
    relays,
    relayLimits: compileRelayLimits(exampleConfig(file).server.websocket),
    chainOf: () => undefined,
    onRelay: () => undefined,
    onRelayed: () => undefined,
    log,
  })
  const apply = (changed: object): void => {
    const config = exampleConfig(changed)
    gateway.apply(config, slots.assign(config.services), () => 2)
  }
  apply(file)
  return {
    gateway,
    shedding,
    memory,
    log: log.events,
    accessText,
    get access() {
      return accessText.map((line) => JSON.parse(line) as Record<string, unknown>)
    },
    relays,
    inFlight: () => read(SERIES.inFlight),
    finished: () => read(SERIES.requests),
    apply,
    close: () => upstreams.close(),
  }
}

export interface ServedGateway extends TestGateway {
  readonly door: Door
  readonly port: number
  /** "http://127.0.0.1:PORT". */
  readonly url: string
}

/** The same behind the door its config asks for, on a free port of loopback. */
export function serveGateway(
  file: object,
  options: { tls?: TlsPair; builtins?: Builtins; lookUp?: LookUp; identity?: Identity } = {},
): ServedGateway {
  const made = makeGateway(file, options.builtins, options.lookUp, options.identity)
  const door = openDoor({
    counts: countConnections(new Series(createSeriesBuffer(16))),
    gateway: made.gateway,
    server: exampleConfig(file).server,
    tls: options.tls,
    hostname: "127.0.0.1",
    port: 0,
    clock: now,
    wallClock: Date.now,
    log: {
      ...memoryLog(),
      error: (event, fields) =>
        void (made.log as LoggedEvent[]).push({ level: "error", event, fields: fields ?? {} }),
    },
  })
  return Object.assign(made, {
    door,
    port: door.port,
    url: `${options.tls ? "https" : "http"}://127.0.0.1:${door.port}`,
    close() {
      door.terminate()
      made.relays.shutdown()
    },
  })
}
