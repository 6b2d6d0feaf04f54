import type { Script } from "./redis.ts"

/**
 * One round of a gateway: it does what happened there, lets go what no gateway has had a heartbeat of, and returns
 * what has changed since the round before. KEYS, all with one hash tag:
 * 1. meta, a hash: epoch, revision, floor (changes up to it are forgotten), at (time of the last round);
 * 2. instances, a hash: id to "<0 or 1: draining><owner> <text>", or "L" and "E" for one that left or expired;
 * 3. ends, a sorted set: id by the time its TTL ends; without those that have none;
 * 4. changes, a sorted set: id by the revision of its last change;
 * 5. gone, a sorted set: ids of 2 that are "L" or "E", by the time they went.
 * The owner is the only gateway that has had heartbeats of it, or "*" when there were more.
 *
 * ARGV: name of the gateway; epoch to begin with where there is none; epoch and revision it knows; then four for each
 * thing that happened, in order: what, id, text, TTL in ms (0: none). What: P it registered, R it is alive here, with
 * its draining before the text (taken only where it is not known or expired; who thinks so of one that left is told), H a heartbeat, L it left, 1 and 0 it
 * drains or does not.
 *
 * When there was no round for two seconds nobody could tell of heartbeats, so all TTLs are longer by as much.
 * Returns epoch, revision, 1 when all there is follows and 0 when only changes do, then id and entry of each.
 */
export const SYNC_REGISTRY: Script = {
  name: "gatehouseSyncRegistry",
  lua: `
local meta, instances, ends, changes, gone = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HGET', meta, 'epoch')
if not epoch then
  epoch = ARGV[2]
  redis.call('HSET', meta, 'epoch', epoch, 'revision', 0, 'floor', 0, 'at', now)
end
local at = tonumber(redis.call('HGET', meta, 'at'))
local pause = now - at
if pause > 2000 or pause < 0 then
  local all = redis.call('ZRANGE', ends, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do redis.call('ZADD', ends, all[i + 1] + pause, all[i]) end
end
redis.call('HSET', meta, 'at', now)
local function changed(id)
  redis.call('ZADD', changes, redis.call('HINCRBY', meta, 'revision', 1), id)
end
local function beat(id, ttl)
  if ttl > 0 then redis.call('ZADD', ends, now + ttl, id) else redis.call('ZREM', ends, id) end
end
local function live(entry)
  return entry and string.len(entry) > 1
end
local function ownerOf(entry)
  return string.sub(entry, 2, string.find(entry, ' ', 1, true) - 1)
end
local function leave(id, mark)
  redis.call('HSET', instances, id, mark)
  redis.call('ZREM', ends, id)
  redis.call('ZADD', gone, now, id)
  changed(id)
end
for i = 5, #ARGV, 4 do
  local what, id, text, ttl = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local entry = redis.call('HGET', instances, id)
  local known = live(entry)
  local owner = ARGV[1]
  if known and ownerOf(entry) ~= owner then owner = '*' end
  if what == 'P' or (what == 'R' and not known and entry ~= 'L') then
    local draining = '0'
    if what == 'R' then
      draining = string.sub(text, 1, 1)
      text = string.sub(text, 2)
    end
    if known then draining = string.sub(entry, 1, 1) end
    local wanted = draining .. owner .. ' ' .. text
    if wanted ~= entry then
      redis.call('HSET', instances, id, wanted)
      redis.call('ZREM', gone, id)
      changed(id)
    end
    beat(id, ttl)
  elseif known and (what == 'H' or what == 'R') then
    if owner == '*' and ownerOf(entry) ~= '*' then
      redis.call('HSET', instances, id, string.sub(entry, 1, 1) .. '*' .. string.sub(entry, string.find(entry, ' ', 1, true), -1))
      changed(id)
    end
    beat(id, ttl)
  elseif what == 'R' then
    changed(id)
  elseif what == 'L' and entry ~= 'L' then
    leave(id, 'L')
  elseif known and (what == '0' or what == '1') and string.sub(entry, 1, 1) ~= what then
    redis.call('HSET', instances, id, what .. string.sub(entry, 2))
    changed(id)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 1000)) do leave(id, 'E') end
local function forget(id)
  local revision = redis.call('ZSCORE', changes, id)
  if revision and tonumber(revision) > tonumber(redis.call('HGET', meta, 'floor')) then
    redis.call('HSET', meta, 'floor', revision)
  end
  redis.call('HDEL', instances, id)
  redis.call('ZREM', changes, id)
  redis.call('ZREM', gone, id)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', gone, '-inf', now - 3600000, 'LIMIT', 0, 1000)) do forget(id) end
local many = redis.call('ZCARD', gone) - 10000
if many > 0 then for _, id in ipairs(redis.call('ZRANGE', gone, 0, math.min(many, 1000) - 1)) do forget(id) end end
local revision = tonumber(redis.call('HGET', meta, 'revision'))
local known = tonumber(ARGV[4])
if ARGV[3] ~= epoch or known > revision or known < tonumber(redis.call('HGET', meta, 'floor')) then
  local out = {epoch, revision, 1}
  local all = redis.call('HGETALL', instances)
  for i = 1, #all, 2 do
    if live(all[i + 1]) then
      out[#out + 1] = all[i]
      out[#out + 1] = all[i + 1]
    end
  end
  return out
end
local out = {epoch, revision, 0}
if known < revision then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', changes, '(' .. known, '+inf')) do
    out[#out + 1] = id
    out[#out + 1] = redis.call('HGET', instances, id)
  end
end
return out
`,
}
