#!lua flags=allow-oom
-- Purpose:   read what the nodes have learnt about a site's pace, or write what one of them made of it; the same
--            for the pace of one egress address at the site, of which only the spacing counts.
-- Guarantee: of nodes that learn at once none overwrites another: the second receives what is there now. A
--            spacing never becomes shorter than the site's own limits, or else the crawl's terms, and its crawl-delay
--            have it, nor do the places become more than its own limits have. A repetition finds what it wrote.
--            What is learnt without a limit to the rate is kept of MOST_PACES sites, and of MOST_PAIRS addresses at
--            sites.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 site · 3 what was read, or '' where there was nothing
--            4 what is to be there instead, or '' to read only · 5 places in flight · 6 interval in ms
--            7 egress address, or nothing for the site itself
-- Returns:   {1 when written, what is there, now in ms, in flight, blocked until in ms, the terms' places}
begin()
local MOST_PAIRS, MOST_PACES = 50000, 200000
local key, out = P .. 'site:' .. ARGV[2], ARGV[7] and ARGV[7] ~= '' and '@' .. ARGV[7] or ''
local learnt = call('HGET', key, 'a' .. out) or ''
local written = 0
local mine = ARGV[4] ~= '' and (learnt == ARGV[3] or learnt == ARGV[4])
local function has_place(counter, most)
  if learnt ~= '' then
    return true
  elseif ARGV[6] == '0' and (tonumber(call('HGET', P .. 'out:', counter)) or 0) >= most then
    return false
  end
  call('HINCRBY', P .. 'out:', counter, 1)
  return true
end
if mine and out ~= '' then
  written = 1
  -- There may be as many as visits. Of one that is left out the search for a rate begins low, once it is throttled.
  if has_place('pairs', MOST_PAIRS) then
    call('HSET', key, 'a' .. out, ARGV[4], 'i' .. out, ARGV[6])
    learnt = ARGV[4]
  end
elseif mine and not has_place('paces', MOST_PACES) then
  -- What is learnt of this one next begins anew.
  written = 1
elseif mine then
  local own = call('HMGET', key, 'd', 'o', 'c')
  local apart = math.max(tonumber(ARGV[6]), tonumber(own[1]) or 0, tonumber(own[2]) or C[INTERVAL])
  local places = math.min(tonumber(ARGV[5]), tonumber(own[3]) or NEVER)
  call('HSET', key, 'a', ARGV[4], 'l', places, 'i', ('%d'):format(apart))
  learnt, written = ARGV[4], 1
end
local s = site(ARGV[2])
if written == 1 and out == '' then
  s[MOVED] = true
  reindex_sites()
end
save()
local flying, blocked = s[FLYING], s[BLOCKED]
if out ~= '' then
  local v = call('HMGET', key, 'f' .. out, 'x' .. out)
  flying, blocked = tonumber(v[1]) or 0, math.max(blocked, tonumber(v[2]) or 0)
end
return { written, learnt, ('%d'):format(now), flying, ('%d'):format(blocked), C[LIMIT] }
