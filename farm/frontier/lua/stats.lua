#!lua flags=no-writes
-- Purpose:   count.
-- Guarantee: one moment for all numbers; changes nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' (not used)
-- Returns:   {the counters as they are stored, pairs of reason and number of the dead} or {}: no crawl
local stored = call('GET', KEYS[1])
if not stored then
  return {}
end
return { stored, call('HGETALL', string.sub(KEYS[1], 1, -4) .. 'tally') }
