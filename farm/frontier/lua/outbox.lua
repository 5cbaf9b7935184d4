#!lua flags=allow-oom
-- Purpose:   read what waits for another shard, or strike out what was delivered.
-- Guarantee: struck out is only what was read: several nodes may deliver the same outbox at once.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 the other shard · 3 at most how many · 4 '' to read, or how many had been
--            struck out when this was read
-- Returns:   read: {how many were struck out so far, item...}; strike out: {how many}
begin()
local outbox, struck = P .. 'outbox:' .. ARGV[2], tonumber(call('HGET', P .. 'struck', ARGV[2]) or 0)
if ARGV[4] == '' then
  return { struck, unpack(call('LRANGE', outbox, 0, ARGV[3] - 1)) }
end
if struck ~= tonumber(ARGV[4]) then
  return { 0 }
end
local count = math.min(tonumber(ARGV[3]), call('LLEN', outbox))
call('LTRIM', outbox, count, -1)
call('HINCRBY', P .. 'struck', ARGV[2], count)
C[OUTBOX] = C[OUTBOX] - count
save()
return { count }
