#!lua flags=allow-oom
-- Purpose:   store which proxies are banned, and return what was banned since the caller asked last, by other nodes
--            too; or every ban in force.
-- Guarantee: of several ends of one ban the latest counts, until a node reports that the proxy is back; a ban whose
--            time is over is forgotten, and of more than MOST_BANS those that end first. Takes as long as there is news,
--            but for the call that asks for all. The ledger is not touched.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 the number that the last reply began with, or '' for every ban · 3.. for each
--            news its subject, for how many ms it is out, bans in a row (0: it is back)
-- Returns:   {number for the next call, for each that is out its subject, for how many ms, bans in a row}
begin()
local MOST_BANS, BANS_AT_ONCE, ENDED_AT_ONCE = 10000, 5000, 500
local key, news_key, ends_key = P .. 'bans', P .. 'newbans', P .. 'banends'
local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local function lift(subject)
  call('HDEL', key, subject)
  call('ZREM', news_key, subject)
  call('ZREM', ends_key, subject)
end
local function lift_first(most, until_ms)
  if most > 0 then
    for _, subject in ipairs(call('ZRANGE', ends_key, '-inf', until_ms, 'BYSCORE', 'LIMIT', '0', most)) do
      lift(subject)
    end
  end
end
local out = { 0 }
local function tell(subject, stored)
  local ends, bans = (stored or ''):match('^(%d+) (%d+)$')
  if not ends or tonumber(ends) <= now then
    lift(subject)
    return
  end
  out[#out + 1] = subject
  out[#out + 1] = tonumber(ends) - now
  out[#out + 1] = tonumber(bans)
end

for i = 3, #ARGV, 3 do
  local known = tonumber((call('HGET', key, ARGV[i]) or ''):match('^%d+')) or 0
  local ends = now + ARGV[i + 1]
  if ARGV[i + 2] == '0' then
    lift(ARGV[i])
  elseif known < ends then
    call('HSET', key, ARGV[i], ('%.0f %s'):format(ends, ARGV[i + 2]))
    call('ZADD', news_key, call('INCR', P .. 'lastban'), ARGV[i])
    call('ZADD', ends_key, ('%.0f'):format(ends), ARGV[i])
  end
end
lift_first(ENDED_AT_ONCE, ('%.0f'):format(now))
lift_first(call('HLEN', key) - MOST_BANS, '+inf')
local number = tonumber(call('GET', P .. 'lastban')) or 0
local since = tonumber(ARGV[2])
out[1] = number
if not since or since > number then
  -- Another master may have taken over, which knows of fewer.
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    tell(all[i], all[i + 1])
  end
else
  local fresh = call('ZRANGE', news_key, ('(%.0f'):format(since), '+inf', 'BYSCORE', 'LIMIT', '0', BANS_AT_ONCE, 'WITHSCORES')
  for i = 1, #fresh, 2 do
    tell(fresh[i], call('HGET', key, fresh[i]))
  end
  if #fresh == 2 * BANS_AT_ONCE then
    out[1] = tonumber(fresh[#fresh])
  end
end
return out
