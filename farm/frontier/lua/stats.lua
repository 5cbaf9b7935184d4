#!lua flags=no-writes
-- Purpose:   count.
-- Guarantee: one moment for all numbers; changes nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' (not used)
-- Returns:   {the counters as they are stored, pairs of reason and number of the dead, pairs of name and number of
--            the cheap renderers' sums} or {}: no crawl
local stored = call('GET', KEYS[1])
if not stored then
  return {}
end
local prefix = string.sub(KEYS[1], 1, -4)
return { stored, call('HGETALL', prefix .. 'tally'), call('HGETALL', prefix .. 'tiers') }
