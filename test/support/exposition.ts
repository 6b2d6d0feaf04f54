export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly type: string
  readonly help: string
  readonly samples: Sample[]
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
const HELP = new RegExp(`^# HELP (${NAME}) (.+)$`)
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`)
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`)
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/

/**
 * Reads the Prometheus text format 0.0.4 and throws on anything a strict reader would refuse: a sample outside
 * its family, a family or series twice, HELP or TYPE missing, a bad value, a histogram that does not add up.
 */
export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line has no line feed")
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let help: { name: string; text: string } | undefined
  let current: { name: string; family: Family } | undefined
  for (const line of text.split("\n")) {
    if (line === "") continue
    const helped = HELP.exec(line)
    if (helped) {
      help = { name: helped[1]!, text: helped[2]! }
      continue
    }
    const typed = TYPE.exec(line)
    if (typed) {
      const name = typed[1]!
      if (help?.name !== name) throw new Error(`TYPE without HELP: ${line}`)
      if (families.has(name)) throw new Error(`family twice: ${line}`)
      current = { name, family: { type: typed[2]!, help: help.text, samples: [] } }
      families.set(name, current.family)
      continue
    }
    const found = SAMPLE.exec(line)
    if (!found) throw new Error(`not a sample: ${line}`)
    const [, name, labelText, valueText] = found
    if (current === undefined || !belongs(name!, current))
      throw new Error(`sample outside its family: ${line}`)
    const labels = parseLabels(labelText ?? "")
    const series = `${name}${JSON.stringify(Object.entries(labels).sort())}`
    if (seen.has(series)) throw new Error(`series twice: ${line}`)
    seen.add(series)
    const value = valueText === "+Inf" ? Number.POSITIVE_INFINITY : Number(valueText)
    if (Number.isNaN(value)) throw new Error(`not a number: ${line}`)
    if (current.family.type === "counter" && value < 0) throw new Error(`negative counter: ${line}`)
    current.family.samples.push({ name: name!, labels, value })
  }
  for (const [name, family] of families) if (family.type === "histogram") checkHistogram(name, family)
  return families
}

/** The one value of a metric under exactly these labels; `undefined` when there is none. */
export function sampleValue(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ""))
  const wanted = JSON.stringify(Object.entries(labels).sort())
  return family?.samples.find(
    (sample) => sample.name === name && JSON.stringify(Object.entries(sample.labels).sort()) === wanted,
  )?.value
}

function belongs(name: string, { name: own, family }: { name: string; family: Family }): boolean {
  if (family.type !== "histogram") return name === own
  return name === `${own}_bucket` || name === `${own}_sum` || name === `${own}_count`
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== "") {
    const found = LABEL.exec(rest)
    if (!found) throw new Error(`not a label: ${rest}`)
    if (found[1]! in labels) throw new Error(`label twice: ${text}`)
    labels[found[1]!] = found[2]!.replace(/\\(.)/g, (_, char) => (char === "n" ? "\n" : char))
    rest = rest.slice(found[0].length)
  }
  return labels
}

function checkHistogram(name: string, family: Family): void {
  const groups = new Map<string, { buckets: [number, number][]; sum?: number; count?: number }>()
  for (const { name: own, labels, value } of family.samples) {
    const { le, ...shared } = labels
    const key = JSON.stringify(Object.entries(shared).sort())
    const group = groups.get(key) ?? { buckets: [] }
    groups.set(key, group)
    if (own.endsWith("_bucket"))
      group.buckets.push([le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le), value])
    else if (own.endsWith("_sum")) group.sum = value
    else group.count = value
  }
  for (const [key, { buckets, sum, count }] of groups) {
    const rising = buckets.every(
      ([le, value], i) => i === 0 || (le > buckets[i - 1]![0] && value >= buckets[i - 1]![1]),
    )
    const last = buckets.at(-1)
    if (!rising || last?.[0] !== Number.POSITIVE_INFINITY || last[1] !== count || sum === undefined)
      throw new Error(`histogram ${name}${key} does not add up`)
  }
}
