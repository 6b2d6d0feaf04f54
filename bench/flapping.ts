import type { TCPSocketListener } from "bun"
import { openFiles, rssMb } from "../test/support/proc.ts"
import { startRawLoad } from "../test/support/raw_load.ts"
import { type BenchGateway, openGateway } from "./gateway.ts"
import { CONTENDER_CORE } from "./process.ts"

const SECONDS = Number(process.env.BENCH_FLAP_SECONDS ?? 60)
const INSTANCES = 500
/** Largest share of them that is away at a time. */
const MOST_AWAY = 0.2
const CONNECTIONS = 16
const TOKEN = "benchmark-token-of-flapping"
/**
 * Moves of instances a second. Half of those that leave die without a word; a request that meets two such in a row
 * fails with the default of two attempts, as nobody knows of them before a few requests or checks have failed.
 */
const MOVES_A_SECOND = Number(process.env.BENCH_FLAP_MOVES ?? 10)
/** Attempts of a request; default: as config has it where a service says nothing. */
const ATTEMPTS = process.env.BENCH_FLAP_ATTEMPTS
/** Sockets the gateway may have more when all have left than before any had come. */
const SOCKETS_LEFT = 30
/** Checks of what has left are over by then; instances are checked each second. */
const SETTLE_MS = 3000
/** Connections to what has left are kept for a minute. */
const RETIRED_MS = 62_000
/** Series there may be more when all have left, of what was asked and failed: fewer than one an instance. */
const NEW_SERIES = 200
/** Resident memory may be so much higher a minute after all have left than before: garbage comes and goes meanwhile. */
const GROWTH_MB = 60

const ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

/** A service of one line; `undefined` while it is dead. */
class FlappingInstance {
  readonly port: number
  /** Health checks it has had. */
  checks = 0
  #listener: TCPSocketListener | undefined
  registered = false

  constructor() {
    this.#listener = this.#listen(0)
    this.port = this.#listener.port
  }

  get alive(): boolean {
    return this.#listener !== undefined
  }

  /** As by SIGKILL: connections are cut, new ones refused. */
  die(): void {
    this.#listener?.stop(true)
    this.#listener = undefined
  }

  revive(): void {
    this.#listener ??= this.#listen(this.port)
  }

  #listen(port: number): TCPSocketListener {
    return Bun.listen({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (socket, bytes) => {
          // Every request is one segment here, and has no body.
          if (bytes.indexOf("\r\n\r\n") < 0) return
          if (bytes.indexOf("GET /health ") === 0) this.checks++
          socket.write(ANSWER)
        },
      },
    })
  }
}

/** Hundreds of instances that register, leave, die and come back at random under load: no request may fail. */
export async function flapping(): Promise<boolean> {
  const instances = Array.from({ length: INSTANCES }, () => new FlappingInstance())
  const gateway = await openGateway(
    {
      server: { workers: 2 },
      admin: { token: TOKEN },
      discovery: { allow: ["127.0.0.0/8"] },
      services: {
        app: {
          discover: { registry: true },
          ...(ATTEMPTS !== undefined && { retry: { attempts: Number(ATTEMPTS) } }),
        },
      },
      routes: [{ path: "/*", service: "app" }],
    },
    CONTENDER_CORE,
  )
  const registry = new Registry(gateway)
  try {
    const empty = { sockets: openFiles(gateway.pid), series: (await registry.metrics()).size }
    await registerAll(instances, registry)
    const load = startRawLoad(gateway.port, 1)
    while (!load.answers.has("200 ok")) await Bun.sleep(20)
    await load.stop()
    console.log(
      `\n${INSTANCES} instances flap for ${SECONDS} s, ${MOVES_A_SECOND} moves a second, ${CONNECTIONS} connections ask, ${ATTEMPTS ?? "the default of 2"} attempts`,
    )
    const steady = await loadFor(gateway, 3, undefined)
    const moves = { left: 0, died: 0 }
    const memory = watchMemory(gateway.pid)
    const flapped = await loadFor(gateway, SECONDS, () => move(instances, registry, moves))
    const rss = memory()
    for (const each of instances) each.revive()
    await registerAll(instances, registry)
    const known = (await registry.metrics()).get('gatehouse_discovery_instances{source="registry"}')
    for (const each of instances) await registry.leave(each)
    await Bun.sleep(SETTLE_MS)
    const checksThen = checksOf(instances)
    await Bun.sleep(SETTLE_MS)
    const leaked = checksOf(instances) - checksThen
    await Bun.sleep(RETIRED_MS)
    const sockets = openFiles(gateway.pid)
    const series = (await registry.metrics()).size
    const growth = rssMb(gateway.pid) - rss[0]!
    for (const [name, { total, seconds, failed }] of Object.entries({ steady, flapped }))
      console.log(
        `${name}: ${(total / seconds).toFixed(0)} requests/s, ${total} in all, ${failed.length} failed`,
      )
    console.log(`moves: ${moves.left} left, ${moves.died} died`)
    for (const failure of flapped.failed.slice(0, 5)) console.log(`failed: ${failure}`)
    console.log(
      `resident memory every ${SECONDS / 6} s: ${[0, 1, 2, 3, 4, 5, 6].map((i) => rss[Math.round(((rss.length - 1) * i) / 6)]!.toFixed(0)).join(", ")} MB`,
    )
    const verdicts: [boolean, string][] = [
      [flapped.failed.length === 0, `${flapped.failed.length} requests failed (target 0)`],
      [known === INSTANCES, `${known} of ${INSTANCES} instances known when all are back`],
      [leaked === 0, `${leaked} health checks in ${SETTLE_MS / 1000} s after all have left (target 0)`],
      [
        sockets <= empty.sockets + SOCKETS_LEFT,
        `${sockets} files and sockets open after all have left, ${empty.sockets} before they came (target +${SOCKETS_LEFT})`,
      ],
      [
        series <= empty.series + NEW_SERIES,
        `${series} series of metrics after all have left, ${empty.series} before they came (target +${NEW_SERIES})`,
      ],
      [
        growth <= GROWTH_MB,
        `memory ${growth.toFixed(0)} MB higher a minute after all have left than before the moves (target ${GROWTH_MB})`,
      ],
    ]
    for (const [held, text] of verdicts) console.log(`${held ? "PASS" : "FAIL"}: ${text}`)
    return verdicts.every(([held]) => held)
  } finally {
    await gateway.stop()
    for (const each of instances) each.die()
  }
}

const registerAll = (instances: readonly FlappingInstance[], registry: Registry): Promise<unknown> =>
  Promise.all(instances.map((each) => registry.register(each)))

const checksOf = (instances: readonly FlappingInstance[]): number =>
  instances.reduce((sum, { checks }) => sum + checks, 0)

/** Resident memory, each second, until what is returned is called. */
function watchMemory(pid: number): () => readonly number[] {
  const seen = [rssMb(pid)]
  const timer = setInterval(() => seen.push(rssMb(pid)), 1000)
  return () => {
    clearInterval(timer)
    return [...seen, rssMb(pid)]
  }
}

/** One instance moves: it leaves, dies, or comes back. */
async function move(
  instances: readonly FlappingInstance[],
  registry: Registry,
  moves: { left: number; died: number },
): Promise<void> {
  const away = instances.filter((each) => !each.alive || !each.registered)
  const chosen =
    away.length > INSTANCES * MOST_AWAY || Math.random() < away.length / (INSTANCES * MOST_AWAY)
      ? away[Math.floor(Math.random() * away.length)]!
      : instances[Math.floor(Math.random() * INSTANCES)]!
  if (!chosen.alive) chosen.revive()
  else if (!chosen.registered) await registry.register(chosen)
  else if (Math.random() < 0.5) {
    moves.left++
    await registry.leave(chosen)
  } else {
    moves.died++
    chosen.die()
  }
}

async function loadFor(gateway: BenchGateway, seconds: number, step: (() => Promise<void>) | undefined) {
  const load = startRawLoad(gateway.port, CONNECTIONS)
  const started = performance.now()
  for (let i = 1; performance.now() - started < seconds * 1000; i++) {
    await step?.()
    await Bun.sleep(Math.max(0, started + (i * 1000) / MOVES_A_SECOND - performance.now()))
  }
  await load.stop()
  const odd = [...load.answers].filter(([answer]) => answer !== "200 ok")
  const failed = [
    ...load.failures,
    ...odd.flatMap(([answer, count]) => Array.from({ length: count }, () => answer)),
  ]
  return { total: load.total(), failed, seconds: (performance.now() - started) / 1000 }
}

/** The registry by its API. */
class Registry {
  readonly #admin: string
  readonly #ids = new Map<FlappingInstance, string>()

  constructor({ log }: BenchGateway) {
    this.#admin = `http://${log.find(({ event }) => event === "gateway.started")!.admin}`
  }

  async register(instance: FlappingInstance): Promise<void> {
    const body = {
      service_name: "app",
      host: "127.0.0.1",
      port: instance.port,
      check_endpoint: "/health",
      check_interval: 1,
    }
    const answer = await this.#ask("/admin/v1/registry/services", {
      method: "POST",
      body: JSON.stringify(body),
    })
    const { id } = (await answer.json()) as { id: string }
    this.#ids.set(instance, id)
    instance.registered = true
  }

  async leave(instance: FlappingInstance): Promise<void> {
    await this.#ask(`/admin/v1/registry/services/app/instances/${this.#ids.get(instance)}`, {
      method: "DELETE",
    })
    instance.registered = false
  }

  /** Values of the metrics page by series. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const text = await (await this.#ask("/metrics")).text()
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
    return new Map(
      lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
    )
  }

  async #ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" }
    const answer = await fetch(this.#admin + path, { ...init, headers })
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    return answer
  }
}
