#!lua flags=allow-oom
-- Purpose:   take what another shard's outbox holds for this one: links, and fingerprints that count as seen.
-- Guarantee: taking the same again changes nothing, so the delivering node may die at any point; what is neither is
--            buried, once, or nothing behind it could be delivered.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 how many fingerprints · 3.. those, then the links
-- Returns:   how many links were accepted
begin()
local seen_last = 2 + ARGV[2]
local news, rubbish = news_among(seen_last + 1, #ARGV)
rubbish = rubbish or {}
local links = #ARGV - seen_last - #rubbish
for i = 3, seen_last do
  if not ARGV[i]:find(IS_FINGERPRINT .. '$') then
    rubbish[#rubbish + 1] = ARGV[i]
  elseif remember(ARGV[i], round_of()) then
    T[SEEN] = T[SEEN] + 1
    grow_seen()
  end
end
for _, text in ipairs(rubbish) do
  if remember(fingerprint_of(redis.sha1hex(text):sub(1, 16)), round_of()) then
    T[ACCEPTED] = T[ACCEPTED] + 1
    bury_unreadable('', text, 'what another shard found cannot be read')
  end
end
local accepted = accept_links(news, links)
reindex_sites()
save()
return accepted
