#!lua flags=allow-oom
-- Purpose:   accept links of a page whose links are too many for one ack.
-- Guarantee: only the holder of the current token adds; a repetition adds nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 slot · 3 id · 4 token · 5.. links
-- Returns:   how many were accepted, -1 when the lease is lost, or an error BADARG
begin()
local news, invalid = new_links(5, #ARGV)
if invalid then
  return redis.error_reply('BADARG a link is not fingerprint, band, site and payload')
end
local r = record_of(ARGV[2])
if not holds(r, ARGV[3], ARGV[4]) then
  reindex_sites()
  save()
  return -1
end
local accepted = accept_links(news, #ARGV - 4)
reindex_sites()
save()
return accepted
