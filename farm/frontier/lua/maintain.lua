#!lua flags=allow-oom
-- Purpose:   reclaim what is due: expired leases, leases of nodes that are silent, delayed URLs; advance the virtual
--            clock.
-- Guarantee: at most k entries move, so no call is long; any node may call it, at any time.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 k · 3 1 when the server is nearly full, 0 when not
-- Returns:   {how many moved, how many wait in the outboxes, how many outboxes keep what was delivered}
begin()
C[FULL] = tonumber(ARGV[3])
local most = tonumber(ARGV[2])
local moved = reclaim_due(most)
if moved < most then
  moved = moved + bury_silent(most - moved)
end
reindex_sites()
save()
return { moved, C[OUTBOX], C[SHARDS] > 1 and call('HLEN', P .. 'sent') or 0 }
