import type { Script } from "./redis.ts"

/** Numbers and words a machine tells of one client, in this order; see `SYNC_BLOCKS`. */
export const BLOCK_FIELDS = 12

/**
 * Tells of clients whose blocks have changed here and brings back whose have elsewhere, in one step. What is kept of
 * a client is one state, and telling the same twice changes nothing:
 * - the last time a block was lifted, and which: that ends it and all that began before, whenever they are told of;
 * - its block: by hand before found out, then the one that ends later by a second or more;
 * - how often it was found out in a row (level): the higher, unless it was forgiven after that.
 *
 * Times come and go as distances from now, so no clocks are compared; what Redis has noted for later than its own now
 * (its clock was set back) moves along with it.
 *
 * KEYS: a hash of the states, with `epoch` and `seq`; a sorted set of clients by the number of their last change; one
 * by when they may be forgotten. Unless all three agree (others wrote there, or Redis lost one) all are begun anew,
 * with another epoch, so that every machine tells all it knows.
 *
 * ARGV: a word nobody else has, should an epoch begin; the epoch and number the machine knows; most states to keep; most to
 * bring back; then the states, each of BLOCK_FIELDS: client, age of the last lift, id of what it lifted, id of the
 * block, its age, what is left of it, times, age and times of the level, what is left until it is forgotten, what is
 * left until all of it may be, and reason with note. Ages and what is left in ms, `-` for what there is not.
 *
 * Returns the epoch, the number known from now on, 1 if there is more; then of each changed client its name and what
 * is kept, the fields after the client with a space between.
 */
export const SYNC_BLOCKS: Script = {
  name: "gatehouseSyncBlocks",
  lua: `
local LONGEST = 366 * 86400000
local states, changes, ends = KEYS[1], KEYS[2], KEYS[3]
local sound = true
for i, kind in ipairs({'hash', 'zset', 'zset'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= kind then sound = false end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local epoch, seq
if sound then
  epoch = redis.call('HGET', states, 'epoch')
  seq = tonumber(redis.call('HGET', states, 'seq') or '')
  local kept = redis.call('HLEN', states)
  sound = epoch and #epoch <= 64 and seq and seq < 1e13 and kept - 2 == redis.call('ZCARD', changes) and kept - 2 == redis.call('ZCARD', ends)
end
if not sound then
  redis.call('DEL', states, changes, ends)
  epoch, seq = string.format('%s.%.3f', ARGV[1], now), 0
  redis.call('HSET', states, 'epoch', epoch, 'seq', 0)
end
local function drop(client)
  redis.call('HDEL', states, client)
  redis.call('ZREM', changes, client)
  redis.call('ZREM', ends, client)
end
local function text(s)
  return string.format('%.3f %s %s %.3f %.3f %d %.3f %d %.3f %.3f %s',
    s.lifted, s.lifted_id, s.id, s.started, s.ends, s.times, s.level_at, s.level, s.forgotten, s.kept, s.why)
end
local function read(client)
  local raw = redis.call('HGET', states, client)
  if not raw then return nil end
  local s = {}
  local numbers = {}
  numbers.lifted, s.lifted_id, s.id, numbers.started, numbers.ends, numbers.times, numbers.level_at, numbers.level,
    numbers.forgotten, numbers.kept, s.why = string.match(raw,
    '^([%d.]+) (%S+) (%S+) ([%d.]+) ([%d.]+) (%d+) ([%d.]+) (%d+) ([%d.]+) ([%d.]+) (%S.*)$')
  if not s.why then return nil end
  for name, word in pairs(numbers) do
    s[name] = #word < 24 and tonumber(word)
    if not s[name] then return nil end
  end
  s.times, s.level = math.min(s.times, 1000000), math.min(s.level, 1000000)
  s.lifted, s.level_at = math.min(s.lifted, now), math.min(s.level_at, now)
  if s.started > now then s.started, s.ends = now, s.ends - s.started + now end
  s.ends = math.min(s.ends, now + LONGEST)
  s.forgotten, s.kept = math.min(s.forgotten, now + 2 * LONGEST), math.min(s.kept, now + 2 * LONGEST)
  return s
end
local function merge(old, new)
  if old.forgotten <= now then old.level_at, old.level, old.forgotten = old.level > 0 and 0 or old.level_at, 0, 0 end
  -- Of one lift the first telling counts: a later one has taken longer to come here, or shorter.
  if new.lifted_id ~= old.lifted_id and new.lifted > old.lifted then old.lifted, old.lifted_id = new.lifted, new.lifted_id end
  local function stands(s)
    return s.ends > now and s.started > old.lifted and s.id ~= old.lifted_id
  end
  local function is_by_hand(s) return s.times == 0 end
  local better = not stands(old)
  if not better and is_by_hand(old) ~= is_by_hand(new) then better = is_by_hand(new)
  elseif not better then better = new.id ~= old.id and new.ends > old.ends + 1000 end
  if stands(new) and better then
    old.id, old.started, old.ends, old.times, old.why = new.id, new.started, new.ends, new.times, new.why
  elseif not stands(old) then
    old.id, old.started, old.ends, old.times, old.why = '-', 0, 0, 0, '-'
  end
  if old.level == 0 or new.level == 0 then
    if new.level_at > old.level_at then
      old.level_at, old.level, old.forgotten = new.level_at, new.level, new.forgotten
    end
  elseif new.level > old.level or (new.level == old.level and new.forgotten > old.forgotten + 1000) then
    old.level_at, old.level, old.forgotten = math.max(old.level_at, new.level_at), new.level, new.forgotten
  end
  if new.kept > old.kept + 1000 then old.kept = new.kept end
end

for i = 6, #ARGV, ${BLOCK_FIELDS} do
  local function age(at) return ARGV[i + at] == '-' and 0 or now - ARGV[i + at] end
  local function left(at) return ARGV[i + at] == '-' and 0 or now + ARGV[i + at] end
  local client = ARGV[i]
  local state = read(client) or { lifted = 0, lifted_id = '-', id = '-', started = 0, ends = 0, times = 0,
    level_at = 0, level = 0, forgotten = 0, kept = 0, why = '-' }
  local before = text(state)
  merge(state, { lifted = age(1), lifted_id = ARGV[i + 2], id = ARGV[i + 3], started = age(4), ends = left(5),
    times = tonumber(ARGV[i + 6]), level_at = age(7), level = tonumber(ARGV[i + 8]), forgotten = left(9),
    kept = left(10), why = ARGV[i + 11] })
  local after = text(state)
  if after ~= before then
    seq = seq + 1
    redis.call('HSET', states, client, after)
    redis.call('ZADD', changes, seq, client)
    redis.call('ZADD', ends, state.kept, client)
  end
end
for _, client in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 500)) do drop(client) end
local excess = redis.call('ZCARD', ends) - ARGV[4]
if excess > 0 then
  for _, client in ipairs(redis.call('ZRANGE', ends, 0, math.min(excess, 5000) - 1)) do drop(client) end
end
redis.call('HSET', states, 'seq', seq)
local last = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')[2]
local forget = last and math.max(1000, math.ceil(math.min(last - now, 2 * LONGEST))) or 86400000
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, forget + 86400000) end

local known = ARGV[2] == epoch and tonumber(ARGV[3]) or 0
if known > seq then known = 0 end
local page = tonumber(ARGV[5])
local found = redis.call('ZRANGEBYSCORE', changes, '(' .. known, '+inf', 'WITHSCORES', 'LIMIT', 0, page)
local out = {epoch, tostring(seq), 0}
if #found == 2 * page then
  out[2] = found[#found]
  out[3] = 1
end
for i = 1, #found, 2 do
  local client = found[i]
  local s = read(client)
  if s then
    local function age(at) return at == 0 and '-' or string.format('%.3f', now - at) end
    local function left(at) return at == 0 and '-' or string.format('%.3f', at - now) end
    out[#out + 1] = client
    out[#out + 1] = table.concat({age(s.lifted), s.lifted_id, s.id, age(s.started), left(s.ends), s.times,
      age(s.level_at), s.level, left(s.forgotten), left(s.kept), s.why}, ' ')
  else
    drop(client)
  end
end
return out
`,
}
