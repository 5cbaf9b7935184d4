#!lua flags=allow-oom
-- Purpose:   say that a node is alive.
-- Guarantee: an incarnation that was replaced does not come back; one that was only considered dead does.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 node · 3 incarnation
-- Returns:   1 alive, 2 alive again: it had been considered dead, and its leases are gone, 3 alive, and asked to end,
--            0 another has its name
begin()
local known, standing = call('HGET', P .. 'node', ARGV[2]), 1
if not known then
  local before = recall(ARGV[2]) or ''
  call('HSET', P .. 'node', ARGV[2], before:match('^%S*') == ARGV[3] and before or ARGV[3] .. ' ')
  standing = 2
elseif known:match('^%S+') ~= ARGV[3] then
  standing = 0
elseif is_drained(ARGV[2]) then
  standing = 3
end
if standing > 0 then
  call('ZADD', P .. 'nodes', ('%d'):format(now), ARGV[2])
end
save()
return standing
