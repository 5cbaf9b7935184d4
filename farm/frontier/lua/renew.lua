#!lua flags=allow-oom
-- Purpose:   extend leases by the visibility timeout, in one batch.
-- Guarantee: only the current token renews; what was lost stays lost.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2.. slot, id and token of each
-- Returns:   for each 1 when renewed, 0 when lost
begin()
local kept, until_ms = {}, ('%d'):format(now + C[VISIBILITY])
for i = 2, #ARGV, 3 do
  local current = holds(record_of(ARGV[i]), ARGV[i + 1], ARGV[i + 2])
  if current then
    call('ZADD', P .. 'due', until_ms, ARGV[i])
  end
  kept[#kept + 1] = current and 1 or 0
end
reclaim_due(8)
reindex_sites()
save()
return kept
