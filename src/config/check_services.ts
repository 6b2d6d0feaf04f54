import { callsOf } from "../realtime/channels/options.ts"
import { type Address, parseAddress } from "../upstream/address.ts"
import { MAX_INSTANCES, MAX_SERVICES } from "../upstream/memory.ts"
import type { ServiceConfig } from "../upstream/service.ts"
import { checkAnswer, checkServiceName } from "./check_target.ts"
import type { Decoded } from "./decode.ts"
import { readCertificate, unreadable } from "./pem.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"
import { durationText } from "./written.ts"

/** More than one gateway can pass on: a breaker that waits for it never opens. */
const MAX_RATE = 100_000

/** The memory all threads share has this many places. */
function checkCount(services: Readonly<Record<string, ServiceConfig>>, report: Report): void {
  const names = Object.keys(services)
  if (names.length > MAX_SERVICES) {
    report.problem(
      ["services"],
      `there are ${names.length} services; at most ${MAX_SERVICES} fit one gateway`,
    )
  }
  const instances = names.reduce((sum, name) => sum + services[name]!.instances.length, 0)
  if (instances > MAX_INSTANCES) {
    report.problem(["services"], `there are ${instances} instances; at most ${MAX_INSTANCES} fit one gateway`)
  }
}

export function checkServices(decoded: Decoded, report: Report): void {
  const { config } = decoded
  checkCount(config.services, report)
  const used = new Set<string>()
  for (const route of config.routes) if (route.service !== undefined) used.add(route.service)
  for (const [, { service }] of config.realtime === undefined ? [] : callsOf(config.realtime))
    used.add(service)
  const told = config.safety?.events?.service
  if (told !== undefined) used.add(told.service)
  // A service may be there for its health alone.
  for (const { depends_on } of Object.values(config.services))
    for (const { service } of depends_on) used.add(service)
  for (const [name, service] of Object.entries(config.services)) {
    const at: Path = ["services", name]
    checkInstances(service, at, report)
    checkTimeouts(decoded, service, at, report)
    checkHealth(service, at, report)
    checkBreaker(service, at, report)
    checkRetry(decoded, service, at, report)
    checkConcurrency(decoded, service, at, report)
    checkTls(service, at, report)
    const { fallback } = service
    if (fallback !== undefined) {
      if ("service" in fallback) {
        used.add(fallback.service)
        checkFallback(decoded, name, fallback.service, [...at, "fallback", "service"], report)
      } else checkAnswer(fallback, [...at, "fallback"], report)
    }
    if (service.balance !== "hash" && decoded.isWritten([...at, "hash_by"])) {
      report.warning([...at, "hash_by"], "has no effect without balance: hash")
    }
  }
  if (decoded.brokenRoutes) return
  for (const name of Object.keys(config.services)) {
    if (!used.has(name)) report.warning(["services", name], "no route uses this service")
  }
}

/** An instance's address, or what is wrong with it and what would do; never with its credentials. */
export function parseInstance(text: string): Address | string {
  try {
    return parseAddress(text)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function checkInstances(service: ServiceConfig, at: Path, report: Report): void {
  const seen = new Map<string, number>()
  const kinds = new Set<string>()
  for (const [i, instance] of service.instances.entries()) {
    const text = typeof instance === "string" ? instance : instance.url
    const place: Path =
      typeof instance === "string" ? [...at, "instances", i] : [...at, "instances", i, "url"]
    const parsed = parseInstance(text)
    if (typeof parsed === "string") {
      report.problem(place, parsed)
      continue
    }
    const earlier = seen.get(parsed.text)
    if (earlier !== undefined) {
      report.problem(place, `the same instance as instances[${earlier}]; use weight for a larger share`, text)
    }
    seen.set(parsed.text, i)
    kinds.add("unix" in parsed.target ? "unix" : parsed.tls ? "https" : "http")
  }
  if (kinds.has("unix") && kinds.size > 1) {
    report.problem([...at, "instances"], "Unix sockets and network addresses cannot be mixed in one service")
  }
  if (service.tls !== undefined && kinds.size > 0 && !kinds.has("https")) {
    report.problem([...at, "tls"], "no instance uses https; write https:// or leave tls out")
  }
}

function checkTimeouts(decoded: Decoded, service: ServiceConfig, at: Path, report: Report): void {
  if (service.timeout === 0) report.problem([...at, "timeout"], "a timeout of 0 would fail every request")
  for (const key of ["connect_timeout", "wait_timeout"] as const) {
    const limit = service.pool[key]
    if (limit === 0 && key === "connect_timeout") {
      report.problem([...at, "pool", key], "a timeout of 0 would fail every request")
    } else if (limit > service.timeout && decoded.isWritten([...at, "pool", key])) {
      report.warning(
        [...at, "pool", key],
        `is longer than the timeout of ${durationText(service.timeout)}, which ends first`,
      )
    }
  }
  const { ejection } = service
  if (ejection.max_time < ejection.base_time) {
    report.problem(
      [...at, "ejection", "max_time"],
      `is shorter than base_time (${durationText(ejection.base_time)})`,
      durationText(ejection.max_time),
    )
  }
}

function checkHealth(service: ServiceConfig, at: Path, report: Report): void {
  const { health } = service
  if (health === undefined) return
  if (health.interval < 100)
    report.problem([...at, "health", "interval"], "must be at least 100ms", durationText(health.interval))
  if (health.timeout === 0)
    report.problem([...at, "health", "timeout"], "a timeout of 0 would fail every check")
  if (health.timeout >= health.interval) {
    report.problem(
      [...at, "health", "timeout"],
      `must be shorter than the interval of ${durationText(health.interval)}, or checks pile up`,
      durationText(health.timeout),
    )
  }
}

function checkBreaker(service: ServiceConfig, at: Path, report: Report): void {
  const { breaker } = service
  if (breaker === undefined) return
  const place = (key: string): Path => [...at, "breaker", key]
  if (breaker.recovery_timeout === 0)
    report.problem(place("recovery_timeout"), "with 0 the circuit would never stay open")
  if (breaker.half_open_timeout === 0)
    report.problem(place("half_open_timeout"), "with 0 no trial could succeed")
  if (breaker.failure_window === 0) {
    report.problem(place("failure_window"), "with 0 no failure would ever be counted")
    return
  }
  if (breaker.failure_window < 1000) {
    report.problem(
      place("failure_window"),
      "must be at least 1s to count anything",
      durationText(breaker.failure_window),
    )
    return
  }
  for (const key of ["failure_threshold", "min_throughput"] as const) {
    const rate = breaker[key] / (breaker.failure_window / 1000)
    if (rate > MAX_RATE) {
      report.problem(
        place(key),
        `needs ${Math.round(rate)} requests a second within failure_window: the circuit would never open`,
        breaker[key],
      )
    }
  }
  if (breaker.half_open_timeout < service.timeout) {
    report.warning(
      place("half_open_timeout"),
      `is shorter than the service's timeout of ${durationText(service.timeout)}: a slow but good trial counts as failed`,
    )
  }
}

function checkConcurrency(decoded: Decoded, service: ServiceConfig, at: Path, report: Report): void {
  const { concurrency } = service
  if (concurrency === undefined || concurrency.mode === "off") return
  const place = (...keys: string[]): Path => [...at, "concurrency", ...keys]
  const { min, max, initial, shares, mode } = concurrency
  if (mode === "fixed") {
    for (const key of ["min", "initial", "tolerance", "probe_interval"] as const)
      if (decoded.isWritten(place(key))) report.warning(place(key), "has no effect with mode: fixed")
  } else {
    // Defaults give way to what somebody wrote.
    if (min > max && decoded.isWritten(place("min")))
      report.problem(place("min"), `is more than max (${max})`, min)
    else if ((initial < min || initial > max) && decoded.isWritten(place("initial"))) {
      report.problem(place("initial"), `must be from min (${min}) to max (${max})`, initial)
    }
    if (concurrency.probe_interval < 1000) {
      report.problem(
        place("probe_interval"),
        "must be at least 1s: a probe takes a moment of most of the traffic",
        durationText(concurrency.probe_interval),
      )
    }
  }
  if (shares.low > shares.normal)
    report.problem(place("shares", "low"), `is more than that of normal (${shares.normal})`, shares.low)
  if (shares.normal > shares.high)
    report.problem(place("shares", "normal"), `is more than that of high (${shares.high})`, shares.normal)
}

function checkRetry(decoded: Decoded, service: ServiceConfig, at: Path, report: Report): void {
  const { retry, timeout } = service
  const place = (key: string): Path => [...at, "retry", key]
  if (retry.attempts === 1) return
  if (retry.max_backoff < retry.backoff) {
    report.problem(
      place("max_backoff"),
      `is shorter than backoff (${durationText(retry.backoff)})`,
      durationText(retry.max_backoff),
    )
  }
  // The defaults give way to a very short timeout; what somebody wrote does not.
  if (retry.backoff >= timeout && timeout > 0 && decoded.isWritten(place("backoff"))) {
    report.problem(
      place("backoff"),
      `leaves no time for a retry within the timeout of ${durationText(timeout)}`,
      durationText(retry.backoff),
    )
  }
  const perTry = retry.per_try_timeout
  if (perTry === 0) report.problem(place("per_try_timeout"), "a timeout of 0 would fail every attempt")
  if (perTry !== undefined && perTry > timeout) {
    report.problem(
      place("per_try_timeout"),
      `is longer than the timeout of ${durationText(timeout)}`,
      durationText(perTry),
    )
  }
  if (perTry === undefined && retry.on.includes("timeout")) {
    report.warning(
      place("on"),
      "timeout is never retried without per_try_timeout: the first attempt may use all the time",
    )
  }
}

function checkTls(service: ServiceConfig, at: Path, report: Report): void {
  if (service.tls === undefined) return
  if (!service.tls.verify) {
    report.warning(
      [...at, "tls", "verify"],
      "the service's certificate is not verified: anybody in between can read and change everything",
    )
  }
  const { ca } = service.tls
  if (ca === undefined) return
  try {
    readCertificate(ca)
  } catch (error) {
    report.problem([...at, "tls", "ca"], unreadable(error, "a PEM certificate"), ca)
  }
}

function checkFallback(decoded: Decoded, name: string, target: string, at: Path, report: Report): void {
  if (target === name) {
    report.problem(at, "a service cannot be its own fallback")
    return
  }
  checkServiceName(decoded, target, at, report)
  const chain = [name]
  let next: string | undefined = target
  while (next !== undefined && !chain.includes(next)) {
    chain.push(next)
    const { services } = decoded.config
    const fallback: ServiceConfig["fallback"] = Object.hasOwn(services, next)
      ? services[next]!.fallback
      : undefined
    next = fallback && "service" in fallback ? fallback.service : undefined
  }
  if (next === name) report.problem(at, `fallbacks go in a circle: ${[...chain, name].join(" → ")}`)
}
