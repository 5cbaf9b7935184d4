#!lua flags=allow-oom
-- Purpose:   keep the visits to a site apart, as its robots.txt asks for.
-- Guarantee: holds for every node with the next lease, and whatever is learnt about the site's pace later.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 site · 3 crawl-delay in ms
-- Returns:   1 where another crawl-delay was known, or none; 0 where it was this one
begin()
local key = P .. 'site:' .. ARGV[2]
local known = call('HGET', key, 'd')
local apart = math.max(tonumber(ARGV[3]), tonumber(call('HGET', key, 'i')) or C[INTERVAL])
call('HSET', key, 'd', ARGV[3], 'i', ('%d'):format(apart))
site(ARGV[2])[MOVED] = true
reindex_sites()
save()
return known == ARGV[3] and 0 or 1
