#!lua flags=allow-oom
-- Purpose:   extend leases by the visibility timeout, in one batch.
-- Guarantee: only the current token renews; what was lost stays lost.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2.. pairs of id and token
-- Returns:   for each pair 1 when renewed, 0 when lost
-- Uses:      core site queue lease
local kept = {}
for i = 2, #ARGV, 2 do
  local lease = held(ARGV[i])
  if lease and lease.token == ARGV[i + 1] then
    call('ZADD', P .. 'due', now + C.vis, ARGV[i])
    kept[#kept + 1] = 1
  else
    kept[#kept + 1] = 0
  end
end
bring_home(8)
place_sites()
save()
return kept
