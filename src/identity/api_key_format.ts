/** What every API key begins with; "gh_" tells it from a JWT, which begins with "ey". */
const PREFIX = "gh_live_"
/** What any credential of this kind begins with. */
const FAMILY = "gh_"
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
/** 32 digits of base 62 hold 190 bits. */
const SECRET_DIGITS = 32
const MAX_SECRET_DIGITS = 64
/** 62^6 is more than 2^32. */
const CHECKSUM_DIGITS = 6
/** Largest multiple of 62 in a byte; bytes beyond are thrown away, or the first digits would come up more often. */
const FAIR = 248

const FORMAT = new RegExp(
  `^${PREFIX}[0-9A-Za-z]{${SECRET_DIGITS},${MAX_SECRET_DIGITS}}_[0-9A-Za-z]{${CHECKSUM_DIGITS}}$`,
)

/** A new API key: `gh_live_<32 random digits>_<checksum>`. `random(n)` gives n bytes nobody can guess. */
export function createApiKey(random: (count: number) => Uint8Array): string {
  let secret = ""
  while (secret.length < SECRET_DIGITS)
    for (const byte of random(SECRET_DIGITS))
      if (byte < FAIR && secret.length < SECRET_DIGITS) secret += DIGITS[byte % DIGITS.length]
  const body = PREFIX + secret
  return `${body}_${checksum(body)}`
}

/** Whether the text claims to be an API key of the gateway, from `at` on. */
export function looksLikeApiKey(text: string, at = 0): boolean {
  return text.startsWith(FAMILY, at)
}

/**
 * Whether format and checksum are right, so that mistyped and made-up keys end here. The checksum is no secret:
 * it proves nothing.
 */
export function isApiKey(text: string): boolean {
  if (!FORMAT.test(text)) return false
  const end = text.length - CHECKSUM_DIGITS - 1
  return text.slice(end + 1) === checksum(text.slice(0, end))
}

/** CRC-32 in six digits of base 62, as in the tokens of GitHub. */
function checksum(body: string): string {
  let rest = Bun.hash.crc32(body)
  let digits = ""
  for (let i = 0; i < CHECKSUM_DIGITS; i++) {
    digits = DIGITS[rest % DIGITS.length] + digits
    rest = Math.floor(rest / DIGITS.length)
  }
  return digits
}
