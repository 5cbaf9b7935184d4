#!lua flags=no-writes
-- Purpose:   count the URLs that could be leased now.
-- Guarantee: one moment for all; changes nothing. A site counts with as many as its places in flight and its spacing allow,
--            and all of them with no more than the crawl's own limits allow. Looks into a bounded number of sites: of each
--            further one it counts one URL.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 into how many sites to look
-- Returns:   how many; limits of egress addresses are not known here
begin()
local count, left, until_ms = 0, tonumber(ARGV[2]), ('%d'):format(now)
-- Site -> how many more of its URLs may be leased.
local open = {}
for band = C[STATE] == 0 and overall_at('') <= now and 9 or -1, 0, -1 do
  if C[Q + band] > 0 then
    local ready = P .. 'ready:' .. band
    local names = left > 0 and call('ZRANGE', ready, '-inf', until_ms, 'BYSCORE', 'LIMIT', '0', left) or {}
    for _, name in ipairs(names) do
      open[name] = open[name] or leases_left(site(name))
      local more = math.min(call('LLEN', P .. 'q:' .. band .. ':' .. name), open[name])
      open[name] = open[name] - more
      count = count + more
    end
    count = count + call('ZCOUNT', ready, '-inf', until_ms) - #names
    left = left - #names
  end
end
if C[ALL_LIMIT] > 0 then
  count = math.min(count, C[ALL_LIMIT] - C[LEASED])
end
return C[ALL_INTERVAL] > 0 and math.min(count, 1) or count
