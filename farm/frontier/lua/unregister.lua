#!lua flags=allow-oom
-- Purpose:   take a node that ends off the list; what it still holds goes back to its queues.
-- Guarantee: an incarnation that was replaced takes nothing of its successor's. A repetition changes nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 node · 3 incarnation
-- Returns:   how many leases came back
begin()
local known, taken = call('HGET', P .. 'node', ARGV[2]), 0
if known and known:match('^%S+') == ARGV[3] then
  taken = take_back(ARGV[2], NEVER, false)
  forget_slots(ARGV[2])
  note_gone(ARGV[2], 'ended', known)
  call('HDEL', P .. 'node', ARGV[2])
  call('ZREM', P .. 'nodes', ARGV[2])
  reindex_sites()
end
save()
return taken
