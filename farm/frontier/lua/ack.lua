#!lua flags=allow-oom
-- Purpose:   settle a lease as done, with the links that the page had; grant the next one if requested.
-- Guarantee: done, its links and the next lease are one transaction; only the current token settles; a
--            repetition changes nothing and says the same.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 slot · 3 id · 4 token · 5 1 when the visit counts as rendered
--            6 next request, or '' for none · 7 site hint · 8 page limit · 9 egress address · 10 nonce
--            11 jitter · 12 1 when the node holds nothing in other shards · 13 '', or what the visit shows of the
--            renderers at its template (JSON: id, template, payload of the entry that visits the page again, and
--            notes of renderer, evidence, failures, confirms, share, example) · 14 how many fingerprints count as
--            seen with it · 15.. those, then the links
-- Returns:   {'OK' | 'DUP' | 'STALE', where there are notes what is known of each renderer, reply of lease...} or an
--            error BADARG
begin()
local seen_last = 14 + ARGV[14]
local news, invalid
local told = ARGV[13] ~= '' and notes_of(ARGV[13])
if told == nil then
  return redis.error_reply('BADARG the notes of renderers cannot be read')
end
if #ARGV > 14 then
  news, invalid = new_links(seen_last + 1, #ARGV)
  if invalid then
    return redis.error_reply('BADARG a link is not fingerprint, band, site and payload')
  end
end
for i = 15, seen_last do
  if not ARGV[i]:find(IS_FINGERPRINT .. '$') then
    return redis.error_reply('BADARG a fingerprint is 16 decimal and 16 hex digits')
  end
end
local r = record_of(ARGV[2])
local action = 'ack ' .. ARGV[4]
local status, handed, known = 'STALE', nil, {}
if holds(r, ARGV[3], ARGV[4]) then
  status = 'OK'
  if r[ENTRY]:byte(18) ~= BRACKET then
    call('HDEL', P .. 'failed', ARGV[3])
  end
  local s, entry = release(r)
  C[DONE] = C[DONE] + 1
  C[RENDERED] = C[RENDERED] + ARGV[5]
  if told then
    known = note_tiers(told, s[NAME], entry)
  end
  if #ARGV > 14 then
    local folds = round_of()
    for i = 15, seen_last do
      if remember(ARGV[i], folds) then
        T[SEEN] = T[SEEN] + 1
      end
    end
    accept_links(news, #ARGV - seen_last)
  end
  r[SETTLED] = action
elseif r[SETTLED] == action then
  status = 'DUP'
end
if ARGV[6] ~= '' then
  if now >= C[DUE_FROM] then
    -- The slot itself may be among what is due: what was settled is written down before that is looked at, and what
    -- became of the slot is read after it, or a lease would be let go twice.
    store_slot(ARGV[2], r)
    reclaim_due(8)
    r = record_of(ARGV[2])
  else
    reclaim_due(8)
  end
  handed = dispatch(r, ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12])
end
reindex_sites()
store_slot(ARGV[2], r)
save()
if told then
  return { status, known, unpack(handed or {}) }
end
return handed and { status, unpack(handed) } or { status }
