import type { Script } from "./redis.ts"

/** Puts a text first on a list. ARGV: the text, most to keep, ms after which an unused list goes. */
export const PUSH_TEXT: Script = {
  name: "gatehousePush",
  lua: `
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`,
}

/** The first texts of a list. ARGV: how many at most, from 1. */
export const READ_TEXTS: Script = {
  name: "gatehouseTexts",
  lua: "return redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)",
}

/** Keeps a text. ARGV: the text, and for how many ms. */
export const KEEP_TEXT: Script = {
  name: "gatehouseKeep",
  lua: "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1",
}

/** Gives out a text that was kept, once; nil: there is none. */
export const TAKE_TEXT: Script = {
  name: "gatehouseTake",
  lua: "local text = redis.call('GET', KEYS[1]) redis.call('DEL', KEYS[1]) return text",
}

/** Publishes ARGV[1] under the name of KEYS[1]. */
export const TELL: Script = {
  name: "gatehouseTell",
  lua: "return redis.call('PUBLISH', KEYS[1], ARGV[1])",
}
