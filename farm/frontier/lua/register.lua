#!lua flags=allow-oom
-- Purpose:   register a node under its name, in place of one of that name that is dead.
-- Guarantee: of two live nodes that want one name, one gets it; the leases of the dead one come back in the same
--            transaction. A repetition changes nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 node · 3 incarnation · 4 incarnation that is known to be dead, '*' for any, or ''
--            5 facts about the node, which no script looks into
-- Returns:   {1, how many leases came back} or {0, for how many ms the holder of the name has been silent}
begin()
local known = call('HGET', P .. 'node', ARGV[2])
local holder = known and known:match('^%S+') or ARGV[3]
local taken = 0
if holder ~= ARGV[3] then
  local silent_ms = now - (tonumber(call('ZSCORE', P .. 'nodes', ARGV[2])) or 0)
  if silent_ms < C[SILENCE] and ARGV[4] ~= holder and ARGV[4] ~= '*' then
    save()
    return { 0, silent_ms }
  end
  taken = take_back(ARGV[2], NEVER, true)
  forget_slots(ARGV[2])
end
recall(ARGV[2])
call('HSET', P .. 'node', ARGV[2], ARGV[3] .. ' ' .. ARGV[5])
call('ZADD', P .. 'nodes', ('%d'):format(now), ARGV[2])
reindex_sites()
save()
return { 1, taken }
