import { readdirSync } from "node:fs"
import type { TCPSocketListener } from "bun"
import { rssMb } from "../test/support/proc.ts"
import { startRawLoad } from "../test/support/raw_load.ts"
import { type BenchGateway, openGateway } from "./gateway.ts"
import { CONTENDER_CORE } from "./process.ts"

const SECONDS = Number(process.env.BENCH_FLAP_SECONDS ?? 60)
const INSTANCES = 500
/** Largest share of them that is away at a time. */
const MOST_AWAY = 0.2
const CONNECTIONS = 16
const TOKEN = "benchmark-token-of-flapping"
/** Time between two moves of an instance, wherever it is. */
const MOVE_EVERY_MS = 10
/** Sockets per instance the gateway may have left at the end: idle connections of its two workers, and a check. */
const SOCKETS_LEFT = 3

const ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

/** A service of one line; `undefined` while it is dead. */
class FlappingInstance {
  readonly port: number
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
        data(socket, bytes) {
          // Every request is one segment here, and has no body.
          if (bytes.indexOf("\r\n\r\n") >= 0) socket.write(ANSWER)
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
        app: { discover: { registry: true }, retry: { attempts: 5, backoff: "1ms", budget: 1 } },
      },
      routes: [{ path: "/*", service: "app" }],
    },
    CONTENDER_CORE,
  )
  const registry = new Registry(gateway)
  try {
    await Promise.all(instances.map((each) => registry.register(each)))
    const load = startRawLoad(gateway.port, 1)
    while (!load.answers.has("200 ok")) await Bun.sleep(20)
    await load.stop()
    const before = measure(gateway)
    console.log(`\n${INSTANCES} instances flap for ${SECONDS} s, ${CONNECTIONS} connections ask`)
    const steady = await loadFor(gateway, 3, () => Promise.resolve())
    const moves = { left: 0, died: 0 }
    const flapped = await loadFor(gateway, SECONDS, () => move(instances, registry, moves))
    for (const each of instances) each.revive()
    await Promise.all(instances.map((each) => registry.register(each)))
    // Ejections and checks: all must be back by themselves.
    const metrics = await registry.metrics()
    const after = measure(gateway)
    const known = metrics.get('gatehouse_discovery_instances{source="registry"}')
    console.log(
      `steady:    ${(steady.total / steady.seconds).toFixed(0)} requests/s, ${steady.failed.length} failed`,
    )
    console.log(
      `flapping:  ${(flapped.total / flapped.seconds).toFixed(0)} requests/s, ${flapped.failed.length} failed; ${moves.left} left, ${moves.died} died`,
    )
    console.log(
      `sockets ${before.sockets} before, ${after.sockets} after; RSS ${before.rss.toFixed(0)} and ${after.rss.toFixed(0)} MB; ${known} instances known at the end`,
    )
    for (const failure of flapped.failed.slice(0, 5)) console.log(`failed: ${failure}`)
    const ok =
      flapped.failed.length === 0 &&
      known === INSTANCES &&
      after.sockets <= before.sockets + INSTANCES * SOCKETS_LEFT
    console.log(ok ? "no request failed, nothing is left over: ok" : "MISSED")
    return ok
  } finally {
    await gateway.stop()
    for (const each of instances) each.die()
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

async function loadFor(gateway: BenchGateway, seconds: number, step: () => Promise<void>) {
  const load = startRawLoad(gateway.port, CONNECTIONS)
  const started = performance.now()
  while (performance.now() - started < seconds * 1000) {
    await step()
    await Bun.sleep(MOVE_EVERY_MS)
  }
  await load.stop()
  const odd = [...load.answers].filter(([answer]) => answer !== "200 ok")
  const failed = [
    ...load.failures,
    ...odd.flatMap(([answer, count]) => Array.from({ length: count }, () => answer)),
  ]
  return { total: load.total(), failed, seconds: (performance.now() - started) / 1000 }
}

function measure({ pid }: BenchGateway): { sockets: number; rss: number } {
  return { sockets: readdirSync(`/proc/${pid}/fd`).length, rss: rssMb(pid) }
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
