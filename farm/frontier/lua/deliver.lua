#!lua flags=allow-oom
-- Purpose:   take what another shard's outbox holds for this one: links, and fingerprints that count as seen.
-- Guarantee: taking the same again changes nothing, so whoever delivers may die at any point.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 how many fingerprints · 3.. those, then the links
-- Returns:   how many links were accepted, or an error BADARG
begin()
local seen_last = 2 + ARGV[2]
local news = news_among(seen_last + 1, #ARGV)
if not news then
  return redis.error_reply('BADARG a link is not fingerprint, band, site and payload')
end
for i = 3, seen_last do
  if remember(ARGV[i], round_of()) then
    T[SEEN] = T[SEEN] + 1
    grow_seen()
  end
end
local accepted = accept_links(news, #ARGV - seen_last)
place_sites()
save()
return accepted
