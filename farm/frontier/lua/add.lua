#!lua
-- Purpose:   accept what is new among the given URLs.
-- Guarantee: a URL is accepted once, however often it is added; all of a call's URLs or none.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2.. links (fingerprint, band, site, newline, payload)
-- Returns:   how many were accepted, or an error BADARG
begin()
local news, invalid = new_links(2, #ARGV)
if invalid then
  return redis.error_reply('BADARG a link is not fingerprint, band, site and payload')
end
local accepted = accept_links(news, #ARGV - 1)
reindex_sites()
save()
return accepted
