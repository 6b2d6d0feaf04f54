import { MAX_PASSWORD_LENGTH, normalisePassword } from "./password_policy.ts"

/** Of argon2id with one lane. */
export interface PasswordCost {
  readonly memoryKiB: number
  readonly passes: number
}

/** OWASP Password Storage Cheat Sheet: 19 MiB and two passes; about 25 ms of one core. */
const COST: PasswordCost = { memoryKiB: 19_456, passes: 2 }
/** A flood of sign-ins must leave cores and memory to the traffic. */
const MAX_PARALLEL = 2
const MAX_WAITING = 64

/** Too many hashes are waited for: the caller shall come again in a few seconds. */
export class HasherBusy extends Error {
  constructor() {
    super(`hashing a password: ${MAX_WAITING} are waiting already`)
    this.name = "HasherBusy"
  }
}

/** Hashes and checks passwords: at most 2 at a time, 64 waiting; beyond that it rejects with `HasherBusy`. */
export class PasswordHasher {
  #running = 0
  readonly #waiting: (() => void)[] = []
  readonly #options: Bun.Password.Argon2Algorithm
  /** How a hash of this cost begins (PHC string). */
  readonly #prefix: string
  #dummy: Promise<string> | undefined

  constructor({ memoryKiB, passes }: PasswordCost = COST) {
    this.#options = { algorithm: "argon2id", memoryCost: memoryKiB, timeCost: passes }
    this.#prefix = `$argon2id$v=19$m=${memoryKiB},t=${passes},p=1$`
  }

  /** A PHC string. The password must have passed the policy. */
  hash(password: string): Promise<string> {
    return this.#inTurn(() => Bun.password.hash(normalisePassword(password), this.#options))
  }

  /**
   * Whether it is the password. `hash` undefined: there is none to compare with; it takes as long all the same,
   * so that time does not tell whether there is an account.
   */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    const text = normalisePassword(password)
    const fits = text.length > 0 && [...text].length <= MAX_PASSWORD_LENGTH
    this.#dummy ??= this.hash("no account has this password")
    // Not cached when it failed, or nobody could sign in any more.
    const dummy = await this.#dummy.catch((error: unknown) => {
      this.#dummy = undefined
      throw error
    })
    const right = await this.#inTurn(() => Bun.password.verify(fits ? text : "x", hash ?? dummy))
    return right && fits && hash !== undefined
  }

  /** Whether the hash is of another cost than new ones: to be replaced at the next sign-in. */
  isOutdated(hash: string): boolean {
    return !hash.startsWith(this.#prefix)
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < MAX_PARALLEL) this.#running++
    else {
      if (this.#waiting.length >= MAX_WAITING) throw new HasherBusy()
      // Whoever is done hands its place over: it is never free in between.
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
