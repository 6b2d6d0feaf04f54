import type { Script } from "./redis.ts"

/**
 * What scripts on a channel's publications begin with. KEYS[1]: a hash with its epoch, the offset of its newest
 * publication, the server it was last used on, and how earlier epochs ended; KEYS[2]: a stream of what is kept, with
 * the offset as id. ARGV[1]: a word nobody else has, should an epoch begin; ARGV[2]: ms an unused channel is known.
 *
 * Another server (another replication id: after a restart, or a replica that was promoted) may have lost what was
 * written last, and offsets that clients have seen will be given out again. So an epoch begins there, and "epoch:offset"
 * of the one before is noted: up to there they are the same, and positions are still good; what is beyond was lost.
 */
const CHANNEL = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local info = redis.pcall('INFO', 'replication')
local server = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or '-'
local held = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'server', 'past')
local epoch, offset, past = held[1], tonumber(held[2] or ''), held[4] or ''
if not (epoch and offset) then
  redis.call('DEL', KEYS[2])
  epoch, offset, past = ARGV[1], 0, ''
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', 0, 'server', server, 'past', past)
elseif held[3] ~= server then
  local kept = {string.format('%s:%.0f', epoch, offset)}
  for each in string.gmatch(past, '%S+') do
    if #kept < 16 then kept[#kept + 1] = each end
  end
  epoch, past = ARGV[1], table.concat(kept, ' ')
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'server', server, 'past', past)
end
if redis.call('PTTL', KEYS[1]) < ARGV[2] / 2 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end

-- Where the epoch ended, or has come to; nil: nobody knows it.
local function last_of(word)
  if word == epoch then return offset end
  for each, ended in string.gmatch(past, '(%S+):(%d+)') do
    if each == word then return tonumber(ended) end
  end
end
-- A position as an offset of the present epoch; nil: it is of none that leads here, or ahead.
local function place(word, at)
  local last = last_of(word)
  if last and at <= last then return at end
end
local function trim(size, ttl)
  if size == 0 or ttl == 0 then
    redis.call('DEL', KEYS[2])
    return
  end
  redis.call('XTRIM', KEYS[2], 'MAXLEN', size)
  local count = 1
  while true do
    local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', count)
    local old = {}
    for _, each in ipairs(oldest) do
      if tonumber(each[2][2]) > now - ttl then break end
      old[#old + 1] = each[1]
    end
    if #old == 0 then return end
    -- Not by MINID, which Redis 6.0 has not.
    redis.call('XDEL', KEYS[2], unpack(old))
    if #old < #oldest then return end
    count = 32
  end
end
`

/**
 * Gives a publication the next offset, keeps it, and tells all who listen, in one step: so the order they hear is that
 * of the offsets. ARGV: what each begins with; where to tell; JSON text of data and publisher ("": none); most to keep,
 * and for how many ms; ms the key is known. KEYS[3]: of the publisher's key, if there is one.
 * Returns epoch, offset, and 1 if the key was known.
 */
export const PUBLISH_TO_CHANNEL: Script = {
  name: "gatehousePublish",
  lua: `${CHANNEL}
if KEYS[3] then
  local word, at = string.match(redis.call('GET', KEYS[3]) or '', '^(%S+) (%d+)$')
  local known = word and place(word, tonumber(at))
  if known then return {epoch, known, 1} end
end
local id = string.format('%.0f', offset + 1)
local size, ttl = tonumber(ARGV[6]), tonumber(ARGV[7])
if size > 0 and ttl > 0 then
  local entry = {'XADD', KEYS[2], id .. '-0', 't', now, 'p', ARGV[5], 'd', ARGV[4]}
  local added = redis.pcall(unpack(entry))
  if type(added) == 'table' and added.err then
    -- Ahead of the channel: it is not what this wrote.
    if not string.find(added.err, 'equal or smaller', 1, true) then return added end
    redis.call('DEL', KEYS[2])
    redis.call(unpack(entry))
  end
end
redis.call('HSET', KEYS[1], 'offset', id)
trim(size, ttl)
if size > 0 and ttl > 0 then redis.call('PEXPIRE', KEYS[2], ttl) end
if KEYS[3] then redis.call('SET', KEYS[3], epoch .. ' ' .. id, 'PX', ARGV[8]) end
redis.call('PUBLISH', ARGV[3], 'publication\\n' .. epoch .. '\\n' .. id .. '\\n' .. ARGV[5] .. '\\n' .. ARGV[4])
return {epoch, offset + 1, 0}
`,
}

/**
 * Reads what is kept. ARGV: what each begins with; most to keep, and for how many ms, or -1 to leave that as it is; how
 * many to give at most, and how many bytes, about; then epoch and offset to begin after, or nothing for the newest.
 * Returns epoch and offset of the channel; 1, or 0 if something after that position is gone, or -1 if it leads nowhere;
 * then offset, publisher and data of each, fewer than asked for if they are large.
 */
export const READ_CHANNEL: Script = {
  name: "gatehouseHistory",
  lua: `${CHANNEL}
if tonumber(ARGV[3]) >= 0 then trim(tonumber(ARGV[3]), tonumber(ARGV[4])) end
local left, bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local out = {epoch, offset, 1}
local from = math.max(0, offset - left)
if ARGV[7] then
  from = place(ARGV[7], tonumber(ARGV[8]))
  if not from then
    out[3] = -1
    return out
  end
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if from < offset and not (first and tonumber(string.match(first[1], '^%d+')) <= from + 1) then out[3] = 0 end
end
while left > 0 and bytes > 0 do
  local found = redis.call('XRANGE', KEYS[2], string.format('%.0f-0', from + 1), '+', 'COUNT', math.min(left, 32))
  for _, each in ipairs(found) do
    if bytes > 0 then
      from = tonumber(string.match(each[1], '^%d+'))
      out[#out + 1] = from
      out[#out + 1] = each[2][4]
      out[#out + 1] = each[2][6]
      left = left - 1
      bytes = bytes - #each[2][6] - 100
    end
  end
  if #found < 32 then return out end
end
return out
`,
}

/** What a cursor ("epoch offset attempts") that was written in an earlier epoch is in the present one. */
const CURSOR = `
local function here(word, at, attempts)
  local last = last_of(word)
  if not last or word == epoch then return word, at, attempts end
  if at > last then return epoch, last, 0 end
  return epoch, at, attempts
end
local function read_cursor(key)
  local word, at, attempts = string.match(redis.call('GET', key) or '', '^(%S+) (%d+) (%d+)$')
  if word then return here(word, tonumber(at), tonumber(attempts)) end
end
local function text_of(word, at, attempts)
  return string.format('%s %.0f %d', word, at, attempts)
end
`

/**
 * Reads the cursor of a subscriber (KEYS[3]), or counts one more attempt. What it has of an earlier epoch that leads
 * here is given in the present one; what was acknowledged and then lost counts for nothing.
 * ARGV: what each begins with; `get` or `again`. Returns epoch, offset and attempts; nothing: no cursor.
 */
export const READ_CURSOR: Script = {
  name: "gatehouseCursor",
  lua: `${CHANNEL}${CURSOR}
local word, at, attempts = read_cursor(KEYS[3])
if not word then return {} end
if ARGV[3] == 'again' then
  attempts = attempts + 1
  redis.call('SET', KEYS[3], text_of(word, at, attempts), 'KEEPTTL')
end
return {word, at, attempts}
`,
}

/**
 * Moves the cursors of subscribers of one channel (KEYS[3] and on) forward, never back. ARGV: what each begins with; ms
 * a cursor is known after an acknowledgement; then epoch and offset for each. Returns epoch, offset and attempts of each.
 */
export const MOVE_CURSORS: Script = {
  name: "gatehouseAcknowledge",
  lua: `${CHANNEL}${CURSOR}
local out = {}
for i = 3, #KEYS do
  local word, at, attempts = read_cursor(KEYS[i])
  local new_word, new_at = here(ARGV[i * 2 - 2], tonumber(ARGV[i * 2 - 1]), 0)
  if not word or word ~= new_word or at < new_at then word, at, attempts = new_word, new_at, 0 end
  redis.call('SET', KEYS[i], text_of(word, at, attempts), 'PX', ARGV[3])
  out[#out + 1] = word
  out[#out + 1] = at
  out[#out + 1] = attempts
end
return out
`,
}
