#!lua flags=allow-oom
-- Purpose:   let a visit that was leased begin; asked when its first request is about to go out.
-- Guarantee: however long slots take to get here from their leases, visits to a site begin no closer to each other
--            than its spacing, those by one address no closer than theirs, and all no closer than the crawl's; none
--            begins under a block.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 site · 3 egress address or '' · 4 1 when it has begun: it is only counted
-- Returns:   0 when it begins now, in how many ms to ask again, or less than 0 while it is blocked
begin()
local s, out = site(ARGV[2]), ARGV[3]
local places = { { P .. 'site:' .. s[NAME], 's', s[SPACING], (s[SAVED_UP] - 1) * s[SPACING] } }
local blocked = s[BLOCKED]
if out ~= '' then
  blocked = math.max(blocked, tonumber(call('HGET', places[1][1], 'x@' .. out)) or 0)
  places[2] = { places[1][1], 's@' .. out, pair_spacing(s, out), 0 }
  places[3] = { P .. 'out:' .. out, 's', C[OUT_INTERVAL], 0 }
end
places[#places + 1] = { P .. 'out:', 's', C[ALL_INTERVAL], 0 }
local at = now
for i = 1, #places do
  local key, field, spacing, ahead = unpack(places[i])
  places[i].ahead = ahead
  places[i].due = spacing > 0 and tonumber(call('HGET', key, field)) or 0
  at = math.max(at, places[i].due - ahead)
end
local reply = ARGV[4] == '1' and 0 or blocked > now and now - blocked or at - now
if reply == 0 then
  for i = 1, #places do
    local key, field, spacing = unpack(places[i])
    if spacing > 0 then
      -- A long chain of redirects must not keep a site with a long spacing away for ever.
      local due = math.min(math.max(places[i].due, now) + spacing, now + 4 * spacing + places[i].ahead)
      call('HSET', key, field, ('%d'):format(due))
    end
  end
end
save()
return reply
