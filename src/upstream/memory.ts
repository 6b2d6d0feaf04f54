import { WINDOW_WORDS } from "./window.ts"

/** Services and instances the shared memory has room for. */
export const MAX_SERVICES = 1024
export const MAX_INSTANCES = 4096

/**
 * What all threads share about services and instances: plain data, so it can be posted to a worker. Made once
 * by the control thread; times in it are on the scale of lib/clock.ts. Times are 8-byte aligned doubles read
 * and written whole, which the supported processors (x86-64, arm64) never tear.
 */
export interface UpstreamMemory {
  readonly buffer: SharedArrayBuffer
  readonly workers: number
}

const LINE = 64

/** Offsets in an instance's record, in 4-byte words; its times are doubles from word 4 on. */
export const INSTANCE = {
  health: 0,
  ejections: 1,
  failures: 2,
  generation: 3,
  /** Offsets of the doubles, in 8-byte words of the record. */
  ejectedUntil: 2,
  healthySince: 3,
  ewma: 4,
  ewmaAt: 5,
  inFlight: 12,
  /** 1: it gets nothing new. */
  draining: 13,
  /** First of one word a worker. */
  inFlightByWorker: 14,
} as const

/** Offsets in a service's record, in 4-byte words. */
export const SERVICE = {
  /** Moves whenever the health or ejection of one of its instances does: the caches of candidates watch it. */
  version: 0,
  /** 0, or worker + 1 of the thread that decides on an ejection just now. */
  ejectionLock: 1,
  breaker: 2,
  /** Probes of the service's response time without a queue begun so far: workers join them. */
  probes: 3,
  /** Offset of two doubles, in 8-byte words of the record. */
  breakerSince: 2,
  budgetRequests: 8,
  budgetRetries: 8 + WINDOW_WORDS,
  breakerCounters: 8 + 2 * WINDOW_WORDS,
} as const
const SERVICE_WORDS = 80

function instanceBytes(workers: number): number {
  return Math.ceil(((INSTANCE.inFlightByWorker + workers) * 4) / LINE) * LINE
}

/** Memory for `workers` data threads (numbered from 0). */
export function createUpstreamMemory(workers: number): UpstreamMemory {
  const bytes = MAX_SERVICES * SERVICE_WORDS * 4 + MAX_INSTANCES * instanceBytes(workers)
  return { buffer: new SharedArrayBuffer(bytes), workers }
}

/** One record: `words` for Atomics, `times` for doubles, each with the record's first index. */
export interface SharedRecord {
  readonly words: Int32Array
  readonly times: Float64Array
  readonly word: number
  readonly time: number
}

// One pair of views a buffer and thread: thousands of records share them.
const views = new WeakMap<SharedArrayBuffer, { words: Int32Array; times: Float64Array }>()

function recordAt(memory: UpstreamMemory, byte: number): SharedRecord {
  let view = views.get(memory.buffer)
  if (view === undefined) {
    view = { words: new Int32Array(memory.buffer), times: new Float64Array(memory.buffer) }
    views.set(memory.buffer, view)
  }
  return { ...view, word: byte / 4, time: byte / 8 }
}

export function serviceRecord(memory: UpstreamMemory, slot: number): SharedRecord {
  return recordAt(memory, slot * SERVICE_WORDS * 4)
}

export function instanceRecord(memory: UpstreamMemory, slot: number): SharedRecord {
  return recordAt(memory, MAX_SERVICES * SERVICE_WORDS * 4 + slot * instanceBytes(memory.workers))
}

/** Makes a service's record as new. Only while no worker uses it. */
export function clearService(memory: UpstreamMemory, slot: number): void {
  const { words, word } = serviceRecord(memory, slot)
  words.fill(0, word, word + SERVICE_WORDS)
}

/** Makes an instance's record as new, its slow start beginning `now`. Only while no worker uses it. */
export function clearInstance(memory: UpstreamMemory, slot: number, now: number): void {
  const record = instanceRecord(memory, slot)
  record.words.fill(0, record.word, record.word + instanceBytes(memory.workers) / 4)
  record.times[record.time + INSTANCE.healthySince] = now
}

/**
 * Makes the record of an instance that has come back as new, all but its requests in flight: those of its last
 * life may still be under way, and end by themselves.
 */
export function renewInstance(memory: UpstreamMemory, slot: number, now: number): void {
  const { words, word, times, time } = instanceRecord(memory, slot)
  for (const field of [INSTANCE.health, INSTANCE.ejections, INSTANCE.failures, INSTANCE.draining])
    Atomics.store(words, word + field, 0)
  // Results of requests begun in its last life say nothing of this one.
  Atomics.add(words, word + INSTANCE.generation, 1)
  times.fill(0, time + INSTANCE.ejectedUntil, time + INSTANCE.ewmaAt + 1)
  times[time + INSTANCE.healthySince] = now
}

/** Takes back what a dead worker held: its requests in flight, its lock. Call before it is replaced. */
export function clearWorker(memory: UpstreamMemory, worker: number): void {
  for (let slot = 0; slot < MAX_INSTANCES; slot++) {
    const { words, word } = instanceRecord(memory, slot)
    const held = Atomics.exchange(words, word + INSTANCE.inFlightByWorker + worker, 0)
    if (held !== 0) Atomics.sub(words, word + INSTANCE.inFlight, held)
  }
  for (let slot = 0; slot < MAX_SERVICES; slot++) {
    const { words, word } = serviceRecord(memory, slot)
    Atomics.compareExchange(words, word + SERVICE.ejectionLock, worker + 1, 0)
  }
}
