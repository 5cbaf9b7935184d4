#!lua flags=allow-oom
-- Purpose:   store which proxies are banned, and return every ban in force, those of other nodes included.
-- Guarantee: of several ends of one ban the latest counts, until a node reports that the proxy is back; a ban whose
--            time is over is forgotten. The ledger is not touched.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2.. for each news its subject, for how many ms it is out, bans in a row (0: it
--            is back)
-- Returns:   for each that is out its subject, for how many ms, bans in a row
begin()
local key = P .. 'bans'
local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
for i = 2, #ARGV, 3 do
  local known = call('HGET', key, ARGV[i])
  local ends = now + ARGV[i + 1]
  if ARGV[i + 2] == '0' then
    call('HDEL', key, ARGV[i])
  elseif not known or tonumber(known:match('^%d+')) < ends then
    call('HSET', key, ARGV[i], ('%.0f %s'):format(ends, ARGV[i + 2]))
  end
end
local out, all = {}, call('HGETALL', key)
for i = 1, #all, 2 do
  local ends, bans = all[i + 1]:match('^(%d+) (%d+)$')
  if ends and tonumber(ends) > now then
    out[#out + 1] = all[i]
    out[#out + 1] = tonumber(ends) - now
    out[#out + 1] = tonumber(bans)
  else
    call('HDEL', key, all[i])
  end
end
return out
