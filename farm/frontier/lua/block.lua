#!lua flags=allow-oom
-- Purpose:   block a site for a while, for every visit or for those by one egress address.
-- Guarantee: holds for every node with the next lease; what is leased is not touched; a longer block stays. A site that
--            never had a URL has nothing to lease, and nothing is kept of it: a redirect may lead anywhere.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 site · 3 for how many ms · 4 egress address, or '' for all
-- Returns:   nothing
begin()
local s, until_ms = site(ARGV[2]), now + ARGV[3]
if not s[KNOWN] then
  save()
  return
elseif ARGV[4] == '' then
  s[BLOCKED] = math.max(s[BLOCKED], until_ms)
else
  block_address(ARGV[2], ARGV[4], until_ms)
end
s[MOVED] = true
reindex_sites()
save()
