import type { Script } from "./redis.ts"

/**
 * Tells what is out of order as one gateway sees it, and returns what others have told. KEYS[1]: a hash of gateway to
 * "<time> <text>". ARGV: name of the gateway, its text, and the age in ms at which what was told is forgotten.
 * Returns age in ms and text of each other gateway, 64 at most.
 */
export const SHARE_TROUBLES: Script = {
  name: "gatehouseShareTroubles",
  lua: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], oldest)
local out = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local space = string.find(all[i + 1], ' ', 1, true)
  local at = space and tonumber(string.sub(all[i + 1], 1, space - 1))
  local age = at and now - at
  if not age or age > oldest or age < -oldest then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[1] and #out < 128 then
    out[#out + 1] = math.max(0, age)
    out[#out + 1] = string.sub(all[i + 1], space + 1)
  end
end
return out
`,
}
