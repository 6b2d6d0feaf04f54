import type { Script } from "./redis.ts"

/**
 * What scripts on a channel's members begin with. KEYS: clients by when they run out; by the order they came in; a
 * hash of what is known of them, after 1 if their coming was told and 0 if not. ARGV[1]: where to tell.
 * Those whose time is over, as that of a gateway that died, leave here.
 */
const MEMBERS = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_key, order_key, member_key = KEYS[1], KEYS[2], KEYS[3]
local function remove(client)
  local text = redis.call('HGET', member_key, client)
  redis.call('ZREM', until_key, client)
  redis.call('ZREM', order_key, client)
  redis.call('HDEL', member_key, client)
  return text
end
for _ = 1, 20 do
  local over = redis.call('ZRANGEBYSCORE', until_key, '-inf', now, 'LIMIT', 0, 500)
  for _, client in ipairs(over) do
    local text = remove(client)
    if text and string.sub(text, 1, 1) == '1' then
      redis.call('PUBLISH', ARGV[1], 'left\\n' .. string.sub(text, 2))
    end
  end
  if #over < 500 then break end
end
`

/**
 * Members come, or are still there. ARGV: where to tell; ms they stay; 1 to tell, 0 not to, - to leave those that are
 * there as they are; then client and JSON text of each.
 */
export const ENTER_CHANNEL: Script = {
  name: "gatehouseEnter",
  lua: `${MEMBERS}
local last = redis.call('ZRANGE', order_key, -1, -1, 'WITHSCORES')[2] or 0
for i = 4, #ARGV, 2 do
  local client, text = ARGV[i], ARGV[i + 1]
  local fresh = redis.call('HEXISTS', member_key, client) == 0
  if fresh then
    last = last + 1
    redis.call('ZADD', order_key, last, client)
  end
  if fresh or ARGV[3] ~= '-' then
    redis.call('HSET', member_key, client, (ARGV[3] == '1' and '1' or '0') .. text)
  end
  redis.call('ZADD', until_key, now + ARGV[2], client)
  if fresh and ARGV[3] == '1' then redis.call('PUBLISH', ARGV[1], 'joined\\n' .. text) end
end
local keep = ARGV[2] + 60000
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < keep then redis.call('PEXPIRE', key, keep) end
end
return 1
`,
}

/** A member goes. ARGV: where to tell; client; 1 to tell. */
export const LEAVE_CHANNEL: Script = {
  name: "gatehouseLeave",
  lua: `${MEMBERS}
local text = remove(ARGV[2])
if text and ARGV[3] == '1' then redis.call('PUBLISH', ARGV[1], 'left\\n' .. string.sub(text, 2)) end
return 1
`,
}

/** Who is there. ARGV: where to tell; how many to give at most. Returns JSON texts, the longest there first. */
export const READ_MEMBERS: Script = {
  name: "gatehouseMembers",
  lua: `${MEMBERS}
local out = {}
if ARGV[2] == '0' then return out end
for _, client in ipairs(redis.call('ZRANGE', order_key, 0, ARGV[2] - 1)) do
  local text = redis.call('HGET', member_key, client)
  if text then out[#out + 1] = string.sub(text, 2) end
end
return out
`,
}
