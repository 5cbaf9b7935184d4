#!lua flags=allow-oom
-- Purpose:   take what another shard's outbox holds for this one: links, and fingerprints that count as seen.
-- Guarantee: taking the same again changes nothing, so the delivering node may die at any point; what is neither is
--            buried, once, or nothing behind it could be delivered. This shard counts what it has of each other: where it
--            has less than was delivered, its master was replaced by one that lacks the rest, and it says so.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 the other shard · 3 how many it has delivered before · 4 how many of them it has
--            struck out · 5 how many fingerprints · 6.. those, then the links
-- Returns:   {how many links were accepted, how many items this shard has had of the other}; with fewer than were delivered
--            before nothing is taken
begin()
local source, before, struck, seen_last = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), 5 + ARGV[5]
local had = tonumber(call('HGET', P .. 'received', source) or 0)
if had < struck then
  -- They are nowhere any more. Their pages are not: whoever audits the crawl is told.
  call('HINCRBY', P .. 'gaps', source, struck - had)
  had = struck
  call('HSET', P .. 'received', source, ('%d'):format(had))
end
if had < before then
  save()
  return { 0, had }
end
local news, invalid = new_links(seen_last + 1, #ARGV)
invalid = invalid or {}
local links = #ARGV - seen_last - #invalid
for i = 6, seen_last do
  if not ARGV[i]:find(IS_FINGERPRINT .. '$') then
    invalid[#invalid + 1] = ARGV[i]
  elseif remember(ARGV[i], round_of()) then
    T[SEEN] = T[SEEN] + 1
    grow_seen()
  end
end
for _, text in ipairs(invalid) do
  if remember(fingerprint_of(redis.sha1hex(text):sub(1, 16)), round_of()) then
    T[ACCEPTED] = T[ACCEPTED] + 1
    bury_unreadable('', text, 'what another shard found cannot be read')
  end
end
local accepted = accept_links(news, links)
local has = before + #ARGV - 5
if has > had then
  had = has
  call('HSET', P .. 'received', source, ('%d'):format(had))
end
reindex_sites()
save()
return { accepted, had }
