#!lua flags=allow-oom
-- Purpose:   share a page limit between shards: the first one lends, the others are allowed what they were lent.
-- Guarantee: the sum of what is allowed never exceeds the limit; a node that dies in between loses some of it,
--            so the crawl may end a little early and never late. A repetition moves nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 borrow | repay (first shard) | allow | withdraw (any shard)
--            3 how many · 4 the limit (borrow) · 5 the transfer's own id, for its repetitions
-- Returns:   how many were lent, repaid, allowed, or withdrawn because they are not needed
begin()
local action, count, once = ARGV[2], tonumber(ARGV[3]), P .. 'once:' .. ARGV[5]
local before = call('GET', once)
if before then
  return tonumber(before)
end
tallies()
if action == 'borrow' then
  count = math.max(0, math.min(count, tonumber(ARGV[4]) - T[LENT]))
  T[LENT] = T[LENT] + count
elseif action == 'repay' then
  T[LENT] = T[LENT] - count
elseif action == 'allow' then
  C[ALLOWED] = C[ALLOWED] + count
elseif action == 'withdraw' then
  count = math.max(0, C[ALLOWED] - C[RENDERED] - C[LEASED])
  C[ALLOWED] = C[ALLOWED] - count
else
  return redis.error_reply('BADARG a quota is borrowed, repaid, allowed or withdrawn')
end
if count > 0 then
  -- What moved nothing may move something when it is repeated. Slots ask again and again once a limit is reached.
  call('SET', once, count, 'EX', '3600')
end
save()
return count
