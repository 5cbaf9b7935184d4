#!lua flags=allow-oom
-- Purpose:   reclaim what is due: expired leases, leases of nodes that are silent, delayed URLs; advance the virtual
--            clock.
-- Guarantee: at most k entries move, so no call is long; any node may call it, at any time. Of many nodes one is told
--            what waits for other shards, until it has not asked for seconds: all of them would deliver the same.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 k · 3 1 when the server is nearly full, 0 when not · 4 who asks
-- Returns:   {how many moved, how many wait in the outboxes, how many outboxes keep what was delivered}; the last two
--            are 0 while another delivers
begin()
local DELIVERS_MS = 3000
C[FULL] = tonumber(ARGV[3])
local most = tonumber(ARGV[2])
local moved = reclaim_due(most)
if moved < most then
  moved = moved + bury_silent(most - moved)
end
reindex_sites()
save()
local waiting, kept = C[OUTBOX], C[SHARDS] > 1 and call('HLEN', P .. 'sent') or 0
if waiting + kept > 0 then
  local known = call('HMGET', P .. 'deliverer', 'node', 'until')
  local left_ms = (tonumber(known[2]) or 0) - now
  if known[1] and known[1] ~= ARGV[4] and left_ms > 0 and left_ms <= DELIVERS_MS then
    return { moved, 0, 0 }
  end
  call('HSET', P .. 'deliverer', 'node', ARGV[4], 'until', ('%d'):format(now + DELIVERS_MS))
end
return { moved, waiting, kept }
