#!lua flags=no-writes
-- Purpose:   count the URLs that could be leased now.
-- Guarantee: one moment for all; changes nothing. Looks into the queues of a bounded number of sites: of each further
--            one it counts one URL.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 into the queues of how many sites to look
-- Returns:   how many
begin()
local count, left, until_ms = 0, tonumber(ARGV[2]), ('%d'):format(now)
for band = 0, C[STATE] == 0 and 9 or -1 do
  local ready = P .. 'ready:' .. band
  local names = left > 0 and call('ZRANGE', ready, '-inf', until_ms, 'BYSCORE', 'LIMIT', '0', left) or {}
  for _, name in ipairs(names) do
    count = count + call('LLEN', P .. 'q:' .. band .. ':' .. name)
  end
  count = count + call('ZCOUNT', ready, '-inf', until_ms) - #names
  left = left - #names
end
return count
