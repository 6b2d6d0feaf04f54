import type { StaticDecode } from "typebox"
import { isPhrase, PhraseFinder } from "../lib/phrase_finder.ts"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import { CategorySchema, SeveritySchema } from "../safety/safety_event.ts"
import {
  defineMessagePolicy,
  type Edit,
  edit,
  escalate,
  isWorse,
  type Refusal,
  refuse,
} from "./message_policy.ts"

const MAX_RULES = 100
const MAX_PHRASES = 10_000
const MASK = "***"

const RuleSchema = strictObject({
  name: Type.String({
    pattern: "^[a-z][a-z0-9_-]{0,62}$",
    description: "Name of the rule, in metrics and in events; receivers see it.",
  }),
  phrases: Type.Array(Type.String({ minLength: 1, maxLength: 200 }), {
    minItems: 1,
    maxItems: MAX_PHRASES,
    description:
      "Words and phrases, found whole. Case, accents, width, invisible characters and what stands between words make no difference; `*` at the end takes any ending.",
  }),
  fields: Type.Array(Type.String({ minLength: 1 }), {
    default: [],
    uniqueItems: true,
    description: "Names of the properties whose texts are looked at, at any depth; empty: all texts.",
  }),
  actions: Type.Array(Type.Enum(["refuse", "mask", "escalate"]), {
    minItems: 1,
    uniqueItems: true,
    description:
      "`refuse`: it is not published. `mask`: `***` is published in place of the phrase. `escalate`: it becomes a safety event, and is published unless it is refused, too.",
  }),
  category: Type.Optional(CategorySchema),
  severity: Type.Optional(SeveritySchema),
  reason: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 300,
      description: "What the sender of a refused message is told.",
    }),
  ),
})
type Rule = StaticDecode<typeof RuleSchema>

/** Looks for words and phrases in what people write, and refuses, masks or escalates. */
export const messageRules = defineMessagePolicy({
  name: "rules",
  doc: "Looks for words and phrases in messages and refuses, masks or escalates those that hold them.",
  schema: Type.Array(RuleSchema, {
    minItems: 1,
    maxItems: MAX_RULES,
    description: "All rules are looked at. Of several that escalate, the most serious one names the event.",
  }),
  check(rules) {
    const found: string[] = []
    const names = new Set<string>()
    let phrases = 0
    for (const [i, rule] of rules.entries()) {
      const say = (message: string): void => void found.push(`rules[${i}]${message}`)
      if (names.has(rule.name)) say(`.name: there is another rule "${rule.name}"`)
      names.add(rule.name)
      phrases += rule.phrases.length
      for (const [p, phrase] of rule.phrases.entries())
        if (!isPhrase(phrase)) say(`.phrases[${p}]: holds no letter, digit or symbol that could be found`)
      const escalates = rule.actions.includes("escalate")
      if (escalates && (rule.category === undefined || rule.severity === undefined))
        say(": a rule that escalates needs category and severity")
      if (!escalates && (rule.category ?? rule.severity) !== undefined)
        say(": category and severity mean nothing without the action escalate")
      if (rule.reason !== undefined && !rule.actions.includes("refuse"))
        say(".reason: means nothing without the action refuse")
      if (rule.actions.includes("refuse") && rule.actions.includes("mask"))
        say(".actions: what is refused cannot be masked")
    }
    if (phrases > MAX_PHRASES) found.push(`rules: have ${phrases} phrases together; at most ${MAX_PHRASES}`)
    return found
  },
  escalates: (rules) => rules.some(({ actions }) => actions.includes("escalate")),
  compile(rules) {
    const look = compileRules(rules)
    return ({ data }) => {
      const { hits, edited } = look(data)
      if (hits.size === 0) return undefined
      let worst: Rule | undefined
      let refused: Refusal | undefined
      const names: string[] = []
      for (const rule of hits) {
        if (rule.actions.includes("refuse")) refused ??= refuse("REFUSED", rule.reason)
        if (!rule.actions.includes("escalate")) continue
        names.push(rule.name)
        if (worst === undefined || isWorse(rule.severity!, worst.severity!)) worst = rule
      }
      const and: Refusal | Edit | undefined = refused ?? (edited === data ? undefined : edit(edited))
      if (worst === undefined) return and
      return escalate(
        { category: worst.category!, severity: worst.severity!, details: { rules: names } },
        and,
      )
    }
  },
})

interface Looked {
  readonly hits: ReadonlySet<Rule>
  /** The same object when nothing is masked. */
  readonly edited: unknown
}

const NOTHING: ReadonlySet<Rule> = new Set()

/** One finder for the phrases of all rules: a text is read once, however many there are. */
function compileRules(rules: readonly Rule[]): (data: unknown) => Looked {
  const owners = rules.flatMap((rule) => rule.phrases.map(() => rule))
  const finder = new PhraseFinder(rules.flatMap(({ phrases }) => phrases))
  const fields = new Map(rules.map((rule) => [rule, new Set(rule.fields)] as const))
  const masking = new Set(rules.filter(({ actions }) => actions.includes("mask")))
  return (data) => {
    let hits: Set<Rule> | undefined
    /** `names`: of the properties it stands in, from the outside to the inside. */
    const read = (text: string, names: readonly string[]): string => {
      const spans: Span[] = []
      finder.find(text, (phrase, start, end) => {
        const rule = owners[phrase]!
        const wanted = fields.get(rule)!
        if (wanted.size > 0 && !names.some((name) => wanted.has(name))) return
        hits ??= new Set()
        hits.add(rule)
        if (masking.has(rule)) spans.push({ start, end })
      })
      return spans.length === 0 ? text : maskSpans(text, spans)
    }
    const edited = mapTexts(data, [], read)
    return { hits: hits ?? NOTHING, edited }
  }
}

interface Span {
  readonly start: number
  readonly end: number
}

/** Spans that overlap become one mask. */
function maskSpans(text: string, spans: Span[]): string {
  spans.sort((one, other) => one.start - other.start)
  let masked = ""
  let upTo = -1
  for (const { start, end } of spans) {
    if (start >= upTo) masked += text.slice(Math.max(upTo, 0), start) + MASK
    upTo = Math.max(upTo, end)
  }
  return masked + text.slice(upTo)
}

/** The value with other texts; the same object where none is another. */
function mapTexts(
  value: unknown,
  names: readonly string[],
  read: (text: string, names: readonly string[]) => string,
): unknown {
  if (typeof value === "string") return read(value, names)
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) {
    let copy: unknown[] | undefined
    for (let i = 0; i < value.length; i++) {
      const mapped = mapTexts(value[i], names, read)
      if (mapped === value[i]) continue
      copy ??= [...(value as unknown[])]
      copy[i] = mapped
    }
    return copy ?? value
  }
  let copy: Record<string, unknown> | undefined
  for (const [name, inner] of Object.entries(value)) {
    const mapped = mapTexts(inner, [...names, name], read)
    if (mapped === inner) continue
    copy ??= { ...(value as Record<string, unknown>) }
    Object.defineProperty(copy, name, { value: mapped, enumerable: true, writable: true, configurable: true })
  }
  return copy ?? value
}
