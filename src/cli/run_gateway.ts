import { availableParallelism } from "node:os"
import type { AdminPort } from "../admin/listen.ts"
import { builtinRoutes } from "../admin/public.ts"
import type { RegistryRoutesDeps } from "../admin/registry/routes.ts"
import type { Loaded } from "../config/load.ts"
import type { Config } from "../config/schema.ts"
import { watchConfig } from "../config/watch.ts"
import type { Control } from "../gateway/control.ts"
import type { Elsewhere } from "../gateway/elsewhere.ts"
import { LineWriter, toDescriptor } from "../gateway/line_writer.ts"
import { openControl } from "../gateway/open_control.ts"
import type { RegistryKeeper } from "../gateway/registry_keeper.ts"
import { type After, StartError } from "../gateway/supervisor.ts"
import type { CountEvent } from "../identity/context.ts"
import { now } from "../lib/clock.ts"
import { formatAddress } from "../lib/format_address.ts"
import { VERSION } from "../lib/version.ts"
import { Counts } from "../observe/counts.ts"
import { FaultLog } from "../observe/fault_log.ts"
import type { Log } from "../observe/log.ts"
import { createLog } from "../observe/log_json.ts"
import type { Redis } from "../store/redis.ts"
import type { Store } from "../store/sql.ts"
import { watchFaults } from "./faults.ts"
import { ControlIdentity, type IdentityDeps } from "./identity.ts"
import { compileAsUsual } from "./jit.ts"
import { type OpenLedger, openLedger } from "./ledger.ts"
import { EXIT, type Output } from "./output.ts"
import { type OpenChannels, openChannels } from "./realtime.ts"
import { healthOf, openElsewhere, openRegistry } from "./registry.ts"
import { type OpenSafety, openSafety } from "./safety.ts"
import { type OpenSharedLimits, openSharedLimits } from "./shared_limits.ts"
import { openSharedRedis } from "./shared_redis.ts"
import { watchSignals } from "./signals.ts"
import { startThread } from "./thread.ts"

export interface GatewayOptions {
  readonly config: Config
  /** Reads and checks the configuration again, for reloads. */
  readonly load: () => Loaded
  /** File watched for changes; `undefined`: none. */
  readonly file: string | undefined
  readonly output: Output
  /** Called once clients are answered. */
  readonly onStarted?: (ports: { readonly port: number; readonly adminPort: number }) => void
}

/** Longest wait at the end for other gateways to be told the last, and for the last log lines to be written. */
const FLUSH_MS = 1000

/** From when clients are answered until the admin port is opened. */
const ADMIN_PAUSE_MS = 20

const after: After = (ms, run) => {
  const timer = setTimeout(run, ms)
  return () => clearTimeout(timer)
}

/** Runs the gateway in this process until a signal ends it; resolves with the exit code. */
export async function runGateway(options: GatewayOptions): Promise<number> {
  const { config, load, output } = options
  const accessLog = new LineWriter({ write: toDescriptor(1) })
  const ownLog = new LineWriter({ write: toDescriptor(2) })
  const writeLog = (line: string): void => ownLog.push(`${line}\n`)
  const log = createLog(config.log.level, writeLog)
  const signals = watchSignals()
  // From the beginning: a change while the workers start must not be missed.
  const watch =
    options.file === undefined ? undefined : watchConfig(options.file, { onChange: signals.reload })
  let unwatchFaults = (): void => {}
  let store: Store | undefined
  let identity: ControlIdentity | undefined
  let ledger: OpenLedger | undefined
  let redis: Redis | undefined
  let registry: RegistryKeeper | undefined
  let elsewhere: Elsewhere | undefined
  let sharedLimits: OpenSharedLimits | undefined
  let channels: OpenChannels | undefined
  let safety: OpenSafety | undefined
  try {
    const counts = new Counts()
    let control: Control | undefined
    const current = () => control?.config ?? config
    redis = await openSharedRedis(config, { counts, log })
    registry = await openRegistry({ redis, config: current, after, counts, log })
    const registryDeps: RegistryRoutesDeps = {
      registry,
      healthOf: (service, url) => healthOf(control?.services() ?? [], service, url),
      record: async (record) => identity?.record(record),
    }
    store = await openConfiguredStore(config, counts, log)
    identity = await openIdentity(config, store, counts, log, async () => {
      const { publicRegistryRoutes } = await import("../admin/registry/public_port.ts")
      return [publicRegistryRoutes(registryDeps)]
    })
    if (store !== undefined)
      ledger = openLedger({ store, wallClock: Date.now, after, counts, log, config: current })
    if (redis !== undefined) sharedLimits = await openSharedLimits(config, { redis, after, counts, log })
    channels = await openChannels(config, { redis, counts, log })
    const workers = config.server.workers === "auto" ? availableParallelism() : config.server.workers
    const accounts = identity
    const { hub } = channels
    safety = openSafety(config, {
      redis,
      hub,
      workers,
      record: (record, event) => accounts.record(record, event),
      counts,
      log,
    })
    control = await openControl({
      config,
      load,
      workers,
      startThread,
      identity,
      ledger,
      sharedLimits,
      channels: hub,
      safety: safety.desk,
      registry: registry.source,
      registryFeed: registry,
      redis,
      builtinRoutes,
      version: VERSION,
      log,
      writeLog,
      accessLog,
      counts,
      now,
      after,
    })
    const running = control
    if (redis !== undefined) elsewhere = openElsewhere({ redis, services: () => running.services(), after })
    // Clients first: it is a third of all the code, and on one core they would wait for it to load.
    await Bun.sleep(ADMIN_PAUSE_MS)
    const { startAdmin } = await import("./start_admin.ts")
    const admin = startAdmin(control, identity, registryDeps, elsewhere, hub, config, log, writeLog)
    // Only from here on: what goes wrong before is a start that failed.
    const faults = new FaultLog({ log, onFault: () => control.countFault(), now })
    unwatchFaults = watchFaults((kind, error) => faults.record(kind, error))
    log.info("gateway.started", {
      version: VERSION,
      address: formatAddress(config.server.host, control.port),
      admin: formatAddress(config.admin.host, admin.port),
      tls: config.server.tls !== undefined,
      workers: control.status().workers.length,
      generation: control.status().generation,
      start_ms: Math.round(process.uptime() * 1000),
    })
    compileAsUsual()
    options.onStarted?.({ port: control.port, adminPort: admin.port })
    signals.onReload(() => void control.reload())
    const signal = await signals.end
    watch?.close()
    log.info("gateway.stopping", { signal })
    registry.drain()
    await shutDown(control, admin, log)
    return EXIT.fine
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    output.err(`gatehouse: cannot start: ${error.message}\n`)
    return EXIT.cannotStart
  } finally {
    signals.close()
    watch?.close()
    unwatchFaults()
    identity?.close()
    safety?.close()
    await channels?.close()
    await sharedLimits?.close()
    elsewhere?.close()
    await within(FLUSH_MS, Promise.resolve(registry?.close()))
    redis?.close()
    await ledger?.close()
    await store?.close()
    await within(FLUSH_MS, Promise.all([accessLog.flushed(), ownLog.flushed()]))
  }
}

async function openConfiguredStore({ store }: Config, counts: Counts, log: Log): Promise<Store | undefined> {
  if (store === undefined) return undefined
  // Many gateways have none.
  const { openStore } = await import("../store/open.ts")
  try {
    return await openStore(store, {
      log,
      now,
      onQuery(ms, outcome) {
        counts.add("gatehouse_store_queries_total", { outcome })
        counts.add("gatehouse_store_query_seconds_total", { outcome }, ms / 1000)
      },
    })
  } catch (error) {
    throw new StartError((error as Error).message)
  }
}

async function openIdentity(
  config: Config,
  store: Store | undefined,
  counts: Counts,
  log: Log,
  groups: NonNullable<IdentityDeps["groups"]>,
): Promise<ControlIdentity> {
  const count: CountEvent = (event, outcome) =>
    counts.add("gatehouse_identity_events_total", { event, outcome })
  let identity: ControlIdentity | undefined
  try {
    identity = new ControlIdentity(config, { store, wallClock: Date.now, count, log, groups })
    await identity.open()
    return identity
  } catch (error) {
    identity?.close()
    throw new StartError((error as Error).message)
  }
}

/** Waits for the work, but not longer than this; leaves no timer behind. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>()
  const cancel = after(ms, late.resolve)
  await Promise.race([work, late.promise])
  cancel()
}

/**
 * Loses no request: for a while answers still go out, telling clients to come back on a new connection (to
 * another instance); then the port closes and what is in flight finishes.
 */
async function shutDown(control: Control, admin: AdminPort, log: Log): Promise<void> {
  const { drain_delay, shutdown_timeout } = control.config.server
  control.drain()
  await Bun.sleep(drain_delay)
  const busy = await control.close(shutdown_timeout)
  if (busy > 0) log.warn("gateway.cut_off", { workers: busy, after_ms: shutdown_timeout })
  await admin.close()
  log.info("gateway.stopped")
}
