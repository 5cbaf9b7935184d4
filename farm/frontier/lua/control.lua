#!lua flags=allow-oom
-- Purpose:   set for all nodes whether leases are granted: running, paused, draining or stopped.
-- Guarantee: takes effect with the next lease; what is leased is not touched.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 the state (0 running, 1 paused, 2 draining, 3 stopped), or '' to ask
-- Returns:   the state
begin()
if ARGV[2] ~= '' then
  C[STATE] = tonumber(ARGV[2])
end
save()
return C[STATE]
