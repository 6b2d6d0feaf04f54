/** How long a period of the calendar is. */
export const PERIODS = ["minute", "hour", "day", "week", "month"] as const
export type PeriodName = (typeof PERIODS)[number]

/** From `start` on and before `end`; milliseconds since the epoch. */
export interface Period {
  readonly start: number
  readonly end: number
}

const FIXED_MS = { minute: 60_000, hour: 3_600_000 } as const

/**
 * The period this moment lies in. Days, weeks (from Monday) and months are those of the zone, whatever its clocks do:
 * a day may have 23 or 25 hours, and begins later where midnight is skipped. Minutes and hours are those of UTC.
 * `at`: milliseconds since the epoch. Throws `RangeError` for a zone that is none, see `isTimeZone`.
 */
export function periodAt(at: number, name: PeriodName, zone: string): Period {
  if (name === "minute" || name === "hour") {
    const start = Math.floor(at / FIXED_MS[name]) * FIXED_MS[name]
    return { start, end: start + FIXED_MS[name] }
  }
  const day = Temporal.Instant.fromEpochMilliseconds(Math.floor(at)).toZonedDateTimeISO(zone).toPlainDate()
  switch (name) {
    case "day":
      return between(day, day.add({ days: 1 }), zone)
    case "week": {
      const monday = day.subtract({ days: day.dayOfWeek - 1 })
      return between(monday, monday.add({ days: 7 }), zone)
    }
    case "month": {
      const first = day.with({ day: 1 })
      return between(first, first.add({ months: 1 }), zone)
    }
  }
}

/** Asks again only when the moment has left the period of the last answer, also when the clock was set back. */
export function rememberPeriod(name: PeriodName, zone: string): (at: number) => Period {
  let last: Period = { start: 0, end: 0 }
  return (at) => {
    if (at < last.start || at >= last.end) last = periodAt(at, name, zone)
    return last
  }
}

/** Whether it names a time zone (IANA), such as `UTC` or `Europe/Berlin`. */
export function isTimeZone(text: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: text }).format(0) !== ""
  } catch {
    // That is how it says no.
    return false
  }
}

function between(from: Temporal.PlainDate, to: Temporal.PlainDate, zone: string): Period {
  return {
    start: from.toZonedDateTime(zone).epochMilliseconds,
    end: to.toZonedDateTime(zone).epochMilliseconds,
  }
}
