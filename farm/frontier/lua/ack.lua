#!lua flags=allow-oom
-- Purpose:   settle a lease as done, with the links that the page had; hand out the next one if wanted.
-- Guarantee: done, its links and the next lease are one transaction; only the current token settles; a
--            repetition changes nothing and says the same.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 slot · 3 id · 4 token · 5 1 when the visit counts as rendered
--            6 next request, or '' for none · 7 site hint · 8 page limit · 9 egress address · 10 nonce
--            11 jitter · 12 how many fingerprints count as seen with it · 13.. those, then the links
-- Returns:   {'OK' | 'DUP' | 'STALE', reply of lease...} or an error BADARG
-- Uses:      core site queue seen links lease hand_out
local seen_last = 12 + tonumber(ARGV[12])
if not links_are_sound(seen_last + 1, #ARGV) then
  return redis.error_reply('BADARG a link is not id, band, site and payload')
end
for i = 13, seen_last do
  if not find(ARGV[i], '^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$') then
    return redis.error_reply('BADARG a fingerprint is 16 hex digits')
  end
end
local me = slot_state(ARGV[2])
local lease = held(ARGV[3])
local deed = 'ack ' .. ARGV[3] .. ' ' .. ARGV[4]
local verdict = 'STALE'
if lease and lease.token == ARGV[4] then
  verdict = 'OK'
  let_go(lease)
  bump('done', 1)
  if ARGV[5] == '1' then
    bump('rendered', 1)
  end
  for i = 13, seen_last do
    if remember(ARGV[i]) then
      bump('seen', 1)
    end
  end
  accept_links(seen_last + 1, #ARGV)
  me.settled = deed
  if me.id == ARGV[3] then
    me.id, me.token = '', ''
  end
elseif me.settled == deed then
  verdict = 'DUP'
end
local reply = { verdict }
if ARGV[6] ~= '' then
  bring_home(8)
  local handed = hand_out(me, {
    request = ARGV[6], hint = ARGV[7], limit = tonumber(ARGV[8]), egress = ARGV[9], nonce = ARGV[10],
    jitter = tonumber(ARGV[11]),
  })
  reply = { verdict, unpack(handed) }
end
place_sites()
if verdict == 'OK' or ARGV[6] ~= '' then
  save_slot(me)
end
save()
return reply
