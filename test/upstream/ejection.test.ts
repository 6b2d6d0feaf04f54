import { describe, expect, test } from "bun:test"
import { CandidateCache } from "../../src/upstream/candidates.ts"
import { Ejection } from "../../src/upstream/ejection.ts"
import type { Member } from "../../src/upstream/member.ts"
import { clearWorker, SERVICE, serviceRecord } from "../../src/upstream/memory.ts"
import type { EjectionConfig } from "../../src/upstream/service.ts"
import { serviceMemory } from "../support/services.ts"

const DEFAULTS: EjectionConfig = {
  consecutive_failures: 5,
  base_time: 30_000,
  max_time: 100_000,
  max_percent: 50,
}

function make(instances: number, config: Partial<EjectionConfig> = {}) {
  const parts = serviceMemory(Array<number>(instances).fill(1))
  const ejection = new Ejection(parts.memory, parts.slot, 0, { ...DEFAULTS, ...config }, parts.members)
  const fail = (member: Member, times: number, now: number) => {
    let ejected = false
    for (let i = 0; i < times; i++)
      ejected = ejection.failed(member, member.state.ejectionGeneration, now) || ejected
    return ejected
  }
  return { ...parts, ejection, fail }
}

describe("[T-6.3 T-6.4 S-FR3.2] ejection", () => {
  test("takes an instance out after consecutive failures and lets it return by itself", () => {
    const { memory, slot, members, fail } = make(2)
    const cache = new CandidateCache(memory, slot, members, 50)
    expect(fail(members[0]!, 4, 0)).toBe(false)
    expect(cache.at(0).list.length).toBe(2)
    expect(fail(members[0]!, 1, 1000)).toBe(true)
    expect(cache.at(1000).list).toEqual([members[1]!])
    expect(cache.at(30_999).list).toEqual([members[1]!])
    expect(cache.at(31_000).list.length).toBe(2)
  })

  test("starts to count again after a success", () => {
    const { members, ejection, fail } = make(2)
    fail(members[0]!, 4, 0)
    ejection.succeeded(members[0]!, 0)
    expect(fail(members[0]!, 4, 0)).toBe(false)
  })

  test("[F-36] lasts longer each time for an instance that flaps, up to max_time, and is forgiven in time", () => {
    const { members, fail } = make(2)
    const { state } = members[0]!
    let now = 0
    const lengths: number[] = []
    for (let i = 0; i < 5; i++) {
      fail(members[0]!, 5, now)
      lengths.push(state.ejectedUntil - now)
      now = state.ejectedUntil
    }
    expect(lengths).toEqual([30_000, 60_000, 90_000, 100_000, 100_000])
    now += 4 * 30_000
    fail(members[0]!, 5, now)
    expect(state.ejectedUntil - now).toBe(60_000)
  })

  test("never takes out more than max_percent, but one of two", () => {
    const { members, fail } = make(4)
    expect(members.map((member) => fail(member, 10, 0))).toEqual([true, true, false, false])
    const pair = make(2, { max_percent: 10 })
    expect(pair.members.map((member) => pair.fail(member, 10, 0))).toEqual([true, false])
  })

  test("takes the next one out as soon as there is room again", () => {
    const { members, fail } = make(2)
    fail(members[0]!, 5, 0)
    expect(fail(members[1]!, 5, 10)).toBe(false)
    expect(fail(members[1]!, 1, 30_000)).toBe(true)
  })

  test("never takes the only instance out, and none when it is off", () => {
    const one = make(1)
    expect(one.fail(one.members[0]!, 100, 0)).toBe(false)
    const off = make(3, { max_percent: 0 })
    expect(off.fail(off.members[0]!, 100, 0)).toBe(false)
  })

  test("ignores results of requests begun before the ejection", () => {
    const { members, ejection, fail } = make(2, { consecutive_failures: 2 })
    const { state } = members[0]!
    const before = state.ejectionGeneration
    fail(members[0]!, 2, 0)
    expect(ejection.failed(members[0]!, before, 30_001)).toBe(false)
    expect(ejection.failed(members[0]!, before, 30_002)).toBe(false)
    expect(state.consecutiveFailures).toBe(0)
    fail(members[0]!, 1, 30_003)
    ejection.succeeded(members[0]!, before)
    expect(state.consecutiveFailures).toBe(1)
  })

  test("counts failures seen by different threads together", () => {
    const { memory, slot, members, fail } = make(2)
    const other = new Ejection(memory, slot, 1, DEFAULTS, members)
    fail(members[0]!, 4, 0)
    expect(other.failed(members[0]!, 0, 0)).toBe(true)
  })

  test("goes on after a thread died while it decided", () => {
    const { memory, slot, members, fail } = make(2)
    const { words, word } = serviceRecord(memory, slot)
    words[word + SERVICE.ejectionLock] = 2
    expect(fail(members[0]!, 6, 0)).toBe(false)
    clearWorker(memory, 1)
    expect(fail(members[0]!, 1, 0)).toBe(true)
  })
})
