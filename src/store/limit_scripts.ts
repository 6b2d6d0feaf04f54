import type { Script } from "./redis.ts"

/**
 * What both scripts begin with. KEYS[1] holds the key all gateways hash callers by; who has another is told it, and
 * nothing is counted. An entry is "arrival-time written-at", in ms of Redis' clock: should that clock be set back, what
 * was left then is left now, instead of growing by the jump.
 */
const COMMON = `
local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], ARGV[1])
elseif held ~= ARGV[1] then
  return {held}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local function read(key)
  local entry = redis.call('GET', key)
  if not entry then return 0 end
  local space = string.find(entry, ' ', 1, true)
  local tat = tonumber(string.sub(entry, 1, space - 1))
  local written = tonumber(string.sub(entry, space + 1))
  if written > now then return tat - written + now end
  return tat
end
local function write(key, tat)
  redis.call('SET', key, string.format('%.3f %.3f', tat, now), 'PX', math.ceil(math.max(0, tat - now)) + 20000)
end
`

/**
 * Adds what was consumed to the arrival times of keys. ARGV: hash key; the time it was consumed in, in ms; then for
 * each key what was consumed, how far its local arrival time is ahead, and the most it may be, all in ms.
 * Returns the hash key, then how far each global arrival time is ahead, as text in ms.
 */
export const SYNC_LIMITS: Script = {
  name: "gatehouseSyncLimits",
  lua: `${COMMON}
local from = now - ARGV[2]
local out = {held or ARGV[1]}
for i = 2, #KEYS do
  local at = 3 * i - 3
  local tat = math.max(read(KEYS[i]), from) + ARGV[at]
  tat = math.min(math.max(tat, now + ARGV[at + 1]), now + ARGV[at + 2])
  write(KEYS[i], tat)
  out[i] = string.format('%.3f', tat - now)
end
return out
`,
}

/**
 * Takes from one bucket if it has enough. ARGV: hash key; charge, tolerance and longest debt in ms.
 * Returns the hash key, 1 or 0, and how far the arrival time is ahead now, as text in ms.
 */
export const TAKE_LIMIT: Script = {
  name: "gatehouseTakeLimit",
  lua: `${COMMON}
local tat = math.min(math.max(read(KEYS[2]), now), now + ARGV[4])
local allowed = 0
if tat - now + ARGV[2] - ARGV[3] <= 0.0005 then
  allowed = 1
  tat = tat + ARGV[2]
  write(KEYS[2], tat)
end
return {held or ARGV[1], allowed, string.format('%.3f', tat - now)}
`,
}
