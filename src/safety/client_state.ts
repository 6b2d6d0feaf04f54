import { clientNetwork } from "../lib/client_network.ts"
import { isIP } from "../lib/ip.ts"
import { VIOLATIONS } from "../observe/catalogue.ts"
import type { BlockReason, ClientState } from "./block.ts"

const LONGEST_MS = 366 * 86_400_000
/** Longer than any block and any memory of one. */
const OLDEST_MS = 2 * LONGEST_MS
const MOST_TIMES = 1_000_000
const NONE = "-"

/** For `SYNC_BLOCKS`: times as distances from `now`. */
export function toBlockFields(
  { client, lift, block, level }: ClientState,
  now: number,
): readonly (string | number)[] {
  const keptUntilMs = Math.max(block?.untilMs ?? 0, level?.forgottenAtMs ?? 0, lift?.keptUntilMs ?? 0)
  const ago = (at: number | undefined) => (at === undefined ? NONE : Math.max(0, now - at).toFixed(3))
  const left = (at: number | undefined) => (at === undefined ? NONE : Math.max(0, at - now).toFixed(3))
  return [
    client,
    ago(lift?.atMs),
    lift?.uid ?? NONE,
    block?.uid ?? NONE,
    ago(block?.startedAtMs),
    left(block?.untilMs),
    block?.times ?? 0,
    ago(level?.atMs),
    level?.times ?? 0,
    left(level?.forgottenAtMs),
    left(keptUntilMs),
    block === undefined ? NONE : `${block.reason} ${block.note}`.trimEnd(),
  ]
}

/**
 * What `SYNC_BLOCKS` brought of a client, on the clock of `now`. `undefined`: no gateway wrote it, as it names no
 * client, or a time, a reason or a note that cannot be.
 */
export function parseClientState(client: unknown, fields: unknown, now: number): ClientState | undefined {
  if (typeof client !== "string" || typeof fields !== "string") return undefined
  if (!isClient(client) || fields.length > 1000) return undefined
  const words = fields.split(" ")
  const [liftAge, liftUid, uid, age, left, times, levelAge, levelTimes, forgottenIn, keptFor] = words
  const liftAt = before(now, liftAge)
  const startedAt = before(now, age)
  const untilMs = until(now, left)
  const levelAt = before(now, levelAge)
  const forgottenAt = until(now, forgottenIn)
  const keptUntilMs = until(now, keptFor)
  const [blockTimes, timesInRow] = [count(times), count(levelTimes)]
  const why = parseWhy(words.slice(10).join(" "))
  const all = [liftAt, startedAt, untilMs, levelAt, forgottenAt, keptUntilMs, blockTimes, timesInRow]
  if (all.some(Number.isNaN) || !isUid(liftUid) || !isUid(uid) || why === undefined) return undefined
  const isBlocked = uid !== NONE && untilMs > now
  if (isBlocked && (untilMs - now > LONGEST_MS || (why.reason === "operator") !== (blockTimes === 0)))
    return undefined
  return {
    client,
    lift: liftAt === 0 ? undefined : { uid: liftUid, atMs: liftAt, keptUntilMs },
    block: isBlocked
      ? { uid, client, ...why, times: blockTimes, startedAtMs: startedAt, untilMs }
      : undefined,
    level:
      levelAt === 0 ? undefined : { atMs: levelAt, times: timesInRow, forgottenAtMs: forgottenAt || levelAt },
  }
}

/** Only as lib/client_network.ts writes it: anything else would never be found again. */
function isClient(text: string): boolean {
  if (text.length > 64 || text.includes("%")) return false
  const plain = text.replace(/\/64$/, "")
  return isIP(plain) !== 0 && clientNetwork(plain) === text
}

const isUid = (text: string | undefined): text is string => /^[\w.-]{1,64}$/.test(text ?? "")

/** NaN: no such distance. 0: none is told. */
function distance(word: string | undefined): number {
  if (word === NONE) return 0
  const ms = /^-?\d{1,15}\.\d{3}$/.test(word ?? "") ? Number(word) : Number.NaN
  return Math.abs(ms) <= OLDEST_MS ? ms : Number.NaN
}

const before = (now: number, word: string | undefined): number =>
  word === NONE ? 0 : now - Math.max(0, distance(word))

const until = (now: number, word: string | undefined): number => (word === NONE ? 0 : now + distance(word))

const count = (word: string | undefined): number => {
  const times = /^\d{1,7}$/.test(word ?? "") ? Number(word) : Number.NaN
  return times <= MOST_TIMES ? times : Number.NaN
}

function parseWhy(text: string): { readonly reason: BlockReason; readonly note: string } | undefined {
  if (text === NONE) return { reason: "operator", note: "" }
  const [reason = "", ...words] = text.split(" ")
  const note = words.join(" ")
  const known = reason === "operator" ? reason : VIOLATIONS.find((each) => each === reason)
  return known === undefined || note.length > 200 || /\p{Cc}/u.test(note)
    ? undefined
    : { reason: known, note }
}
