import { expect, test } from "bun:test"
import { isTimeZone, type PeriodName, periodAt, rememberPeriod } from "../../src/lib/calendar.ts"

const HOUR = 3_600_000
const iso = (text: string) => Date.parse(text)
/** Start and length in hours of the period a moment lies in. */
function of(at: string, name: PeriodName, zone = "UTC"): [start: string, hours: number] {
  const { start, end } = periodAt(iso(at), name, zone)
  expect(start).toBeLessThanOrEqual(iso(at))
  expect(end).toBeGreaterThan(iso(at))
  return [new Date(start).toISOString(), (end - start) / HOUR]
}

test("[V-rl.2] a period begins with its first moment and ends before the next one's", () => {
  expect(of("2026-03-10T00:00:00.000Z", "day")).toEqual(["2026-03-10T00:00:00.000Z", 24])
  expect(of("2026-03-09T23:59:59.999Z", "day")).toEqual(["2026-03-09T00:00:00.000Z", 24])
  expect(of("2026-03-10T12:34:56Z", "hour")).toEqual(["2026-03-10T12:00:00.000Z", 1])
  expect(of("2026-03-10T12:34:56Z", "minute")).toEqual(["2026-03-10T12:34:00.000Z", 1 / 60])
})

test("weeks begin on Monday, months on the first, whatever their length", () => {
  expect(of("2026-03-15T23:59:00Z", "week")).toEqual(["2026-03-09T00:00:00.000Z", 168])
  expect(of("2026-03-16T00:00:00Z", "week")).toEqual(["2026-03-16T00:00:00.000Z", 168])
  expect(of("2026-02-28T23:59:00Z", "month")).toEqual(["2026-02-01T00:00:00.000Z", 28 * 24])
  expect(of("2028-02-29T12:00:00Z", "month")).toEqual(["2028-02-01T00:00:00.000Z", 29 * 24])
  expect(of("2026-12-31T23:59:59Z", "month")).toEqual(["2026-12-01T00:00:00.000Z", 31 * 24])
})

test("[F-42] a day has 23 hours when clocks go forward and 25 when they go back", () => {
  expect(of("2026-03-29T12:00:00Z", "day", "Europe/Berlin")).toEqual(["2026-03-28T23:00:00.000Z", 23])
  expect(of("2026-10-25T12:00:00Z", "day", "Europe/Berlin")).toEqual(["2026-10-24T22:00:00.000Z", 25])
  expect(of("2026-03-08T12:00:00Z", "day", "America/New_York")).toEqual(["2026-03-08T05:00:00.000Z", 23])
  expect(of("2026-11-01T12:00:00Z", "day", "America/New_York")).toEqual(["2026-11-01T04:00:00.000Z", 25])
  expect(of("2026-10-26T12:00:00Z", "week", "Europe/Berlin")[1]).toBe(168)
  expect(of("2026-10-25T12:00:00Z", "week", "Europe/Berlin")[1]).toBe(169)
  expect(of("2026-03-29T12:00:00Z", "month", "Europe/Berlin")[1]).toBe(31 * 24 - 1)
})

test("[F-42] a day begins later where midnight is skipped, and once where it comes twice", () => {
  // Brazil, 2018: 00:00 became 01:00.
  expect(of("2018-11-04T12:00:00Z", "day", "America/Sao_Paulo")).toEqual(["2018-11-04T03:00:00.000Z", 23])
  // Cuba: 01:00 becomes 00:00.
  expect(of("2026-11-01T12:00:00Z", "day", "America/Havana")).toEqual(["2026-11-01T04:00:00.000Z", 25])
  // Samoa, 2011: there was no 30 December.
  expect(of("2011-12-30T09:00:00Z", "day", "Pacific/Apia")).toEqual(["2011-12-29T10:00:00.000Z", 24])
  expect(of("2011-12-30T10:00:00Z", "day", "Pacific/Apia")).toEqual(["2011-12-30T10:00:00.000Z", 24])
})

test("[F-42] days follow each other without gap or overlap, over years in zones that change their clocks", () => {
  const zones = ["Europe/Berlin", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata"]
  for (const zone of zones) {
    let at = iso("2025-01-01T00:00:00Z")
    for (let i = 0; i < 800; i++) {
      const { start, end } = periodAt(at, "day", zone)
      expect(periodAt(end - 1, "day", zone)).toEqual({ start, end })
      expect(periodAt(end, "day", zone).start).toBe(end)
      at = end
    }
  }
})

test("[F-42] what is remembered gives way when the clock leaves the period, forward or back", () => {
  const period = rememberPeriod("day", "UTC")
  const starts = ["2026-01-02T10:00:00Z", "2026-01-03T00:00:00Z", "2026-01-02T23:59:59Z"].map((at) =>
    new Date(period(iso(at)).start).getUTCDate(),
  )
  expect(starts).toEqual([2, 3, 2])
})

test("zones are told from what is none", () => {
  for (const zone of ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
    expect(isTimeZone(zone)).toBe(true)
  for (const zone of ["", "Berlin", "Europe/Nowhere", "'; --", "../etc/passwd"])
    expect(isTimeZone(zone)).toBe(false)
})
