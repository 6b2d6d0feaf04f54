import { normaliseLogin } from "./users.ts"

/** Longest password, in characters: enough for any sentence, and a bound on the work of hashing. */
export const MAX_PASSWORD_LENGTH = 128
/** A personal word shorter than this may be part of a password: it would be there by chance. */
const MIN_PERSONAL_LENGTH = 4
/** What may be put around a common password without making it another one. */
const MAX_DECORATION = 6

export interface PasswordRules {
  /** In characters, 8 to 64. */
  readonly min_length: number
  /** Words no password may contain. */
  readonly blocked: readonly string[]
}

/**
 * The form that is hashed and judged (NIST SP 800-63B section 5.1.1.2): the same characters, whichever way a
 * keyboard composes them.
 */
export function normalisePassword(password: string): string {
  return password.normalize("NFKC")
}

/**
 * Everything that is wrong with a new password, as sentences without the password; empty: it will do. `personal`:
 * login, email address, name of whom it is for.
 */
export async function passwordProblems(
  password: string,
  rules: PasswordRules,
  personal: readonly string[],
): Promise<readonly string[]> {
  const text = normalisePassword(password)
  const length = [...text].length
  if (length > MAX_PASSWORD_LENGTH) return [`must not be longer than ${MAX_PASSWORD_LENGTH} characters`]
  const problems: string[] = []
  if (length < rules.min_length) problems.push(`must have at least ${rules.min_length} characters`)
  const lower = text.toLowerCase()
  if (isRepetition(lower) || isSequence(lower)) problems.push("must not be a repetition or a sequence")
  else if (isCommon(lower, await commonPasswords())) problems.push("is one of the most common passwords")
  if (personalWords(personal).some((word) => lower.includes(word)))
    problems.push("must not contain the login, the email address or the name")
  if (rules.blocked.some((word) => lower.includes(word.normalize("NFKC").toLowerCase())))
    problems.push("must not contain a word that is blocked here")
  return problems
}

/** Whole values and the part of an address before "@", as far as they are long enough to mean something. */
function personalWords(personal: readonly string[]): readonly string[] {
  const words = new Set<string>()
  for (const each of personal) {
    const whole = normaliseLogin(each)
    words.add(whole)
    words.add(whole.split("@", 1)[0]!)
  }
  return [...words].filter((word) => word.length >= MIN_PERSONAL_LENGTH)
}

/** One short piece over and over: "aaaaaaaaaaaa", "abcabcabcabc". */
function isRepetition(text: string): boolean {
  for (let size = 1; size <= 4 && size * 3 <= text.length; size++) {
    if (text === text.slice(0, size).repeat(text.length).slice(0, text.length)) return true
  }
  return false
}

/** Each character follows on the one before, up or down: "abcdefghijkl", "987654321098". */
function isSequence(text: string): boolean {
  if (text.length < 3) return false
  let up = true
  let down = true
  for (let i = 1; i < text.length; i++) {
    const step = text.charCodeAt(i) - text.charCodeAt(i - 1)
    // From 9 on to 0, and back, as on a keyboard.
    if (step !== 1 && step !== -9) up = false
    if (step !== -1 && step !== 9) down = false
  }
  return up || down
}

const LOOK_ALIKES: Readonly<Record<string, string>> = {
  "0": "o",
  "1": "l",
  "3": "e",
  "4": "a",
  "5": "s",
  "7": "t",
  "@": "a",
  $: "s",
  "!": "i",
}

/** Also with digits and signs around it, with letters written as digits, or twice in a row. */
function isCommon(lower: string, common: ReadonlySet<string>): boolean {
  const half = lower.slice(0, lower.length / 2)
  return [lower, undecorated(lower), lower === half + half ? half : lower].some(
    (text) => common.has(text) || common.has(text.replace(/[013457@$!]/g, (sign) => LOOK_ALIKES[sign]!)),
  )
}

function undecorated(text: string): string {
  const bare = text.replace(/^[^\p{L}]+/u, "").replace(/[^\p{L}]+$/u, "")
  return text.length - bare.length <= MAX_DECORATION ? bare : text
}

let common: Promise<ReadonlySet<string>> | undefined

/** About 49,000; read at the first use, as that takes some 20 ms. */
function commonPasswords(): Promise<ReadonlySet<string>> {
  common ??= import("@zxcvbn-ts/language-common").then(
    ({ dictionary }) => new Set(dictionary["passwords-common"]),
  )
  return common
}
