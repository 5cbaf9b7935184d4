#!lua flags=no-writes
-- Purpose:   look at parts of the shard, a slice at a time, and say what does not hold within them.
-- Guarantee: changes nothing. Each slice is one moment; a call ends with the piece during which its budget is spent, so
--            none is long. What holds over several slices is for the caller to add up.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 budget: about how many keys, entries and records to look at · 3.. for each piece
--            its kind, its key's name behind the prefix, and the cursor that its last slice returned, or 0
-- Returns:   {the counters as they are stored, for each piece that was looked at {cursor, or '0' when it is over,
--            violations, what was found}}; pieces that are missing are to be asked for again
begin()
tallies()
local AT_ONCE = 250
local spent, found = 0, nil
local function expect(holds, ...)
  if not holds then
    local words = { ... }
    for i = 1, #words do
      words[i] = type(words[i]) == 'number' and ('%d'):format(words[i]) or tostring(words[i])
    end
    found[#found + 1] = table.concat(words, ' ')
  end
end

local folds = round_of()
local function check_entry(entry, place)
  local id = entry:find(IS_ENTRY) and entry:sub(1, 16) or ''
  expect(id == '' or is_known(fingerprint_of(id), folds), 'id', id, 'is in', place, 'and not known')
  spent = spent + 2
  return id
end

-- A slice of a hash, a set or a sorted set. Redis gives small ones whole, and may give a member twice.
local function scan(command, key, cursor)
  local page = call(command, key, cursor, 'COUNT', AT_ONCE)
  spent = spent + #page[2]
  return page[1], page[2]
end

local function has_record(site_name)
  return call('EXISTS', P .. 'site:' .. site_name) == 1
end

-- Whether a slot's node holds at most one lease. All leases are looked at once in a call.
local leases_of
local function is_only_lease(slot)
  if not leases_of then
    leases_of = {}
    for _, other in ipairs(call('ZRANGE', P .. 'due', '0', '-1')) do
      leases_of[node_of(other)] = (leases_of[node_of(other)] or 0) + 1
    end
    spent = spent + C[LEASED] / 10
  end
  return (leases_of[node_of(slot)] or 0) <= 1
end

local kinds = {}

-- Found: how many entries, their ids.
function kinds.q(name, cursor)
  local band, from, ids = name:sub(3, 3), tonumber(cursor), {}
  expect(from > 0 or has_record(name:sub(5)), 'site', name:sub(5), 'has a queue and no record')
  local entries = call('LRANGE', P .. name, from, from + AT_ONCE - 1)
  for i, entry in ipairs(entries) do
    ids[i] = check_entry(entry, name)
    local belongs = is_suspect(entry) and SUSPECT or entry:sub(17, 17)
    expect(ids[i] ~= '', 'an entry that cannot be read is in', name)
    expect(ids[i] == '' or belongs == band, 'an entry of another band is in', name)
  end
  return #entries < AT_ONCE and '0' or ('%d'):format(from + AT_ONCE), { #entries, table.concat(ids) }
end

-- The pages that a cheap renderer brought. Found: their ids.
function kinds.taken(name, cursor)
  local from, ids = tonumber(cursor), {}
  local pages = call('LRANGE', P .. name, from, from + AT_ONCE - 1)
  for i, page in ipairs(pages) do
    local entry = page:match('^%d+ (.*)$')
    ids[i] = check_entry(entry or '', name)
    expect(ids[i] ~= '', 'an entry that cannot be read is in', name)
  end
  return #pages < AT_ONCE and '0' or ('%d'):format(from + AT_ONCE), ids
end

-- Found: how many of these pages are counted.
function kinds.tiers(name)
  return '0', { tonumber(call('HGET', P .. name, 'pending')) or 0 }
end

-- Found: for each lease its slot, id, site and address, and whether it is a suspect's.
function kinds.slot(name, cursor)
  local leases, n = {}, 0
  local following, records = scan('HSCAN', P .. name, cursor)
  for i = 1, #records, 2 do
    local slot = records[i]
    local token, site_name, out, ends, entry =
      records[i + 1]:match('^%Z*%z%Z*%z(%d*)%z(%Z*)%z(%Z*)%z%d+%z(%d*)%z(.*)$')
    local due = call('ZSCORE', P .. 'due', slot)
    expect(token, 'the record of slot', slot, 'cannot be read')
    expect(((token or '') ~= '') == (due and true or false), 'slot', slot, 'has a lease without a deadline, or the reverse')
    if token and token ~= '' then
      local last = math.max(tonumber(ends) or 0, tonumber(due) or 0)
      expect(last <= now + C[VISIBILITY], 'the lease of', slot, 'ends at', last, 'which is too far off')
      expect(tonumber(token:sub(1, -4)) <= C[TOKEN], 'token', token, 'is ahead of the last one,', C[TOKEN])
      if is_suspect(entry) then
        expect(call('HGET', P .. 'alone', node_of(slot)) == slot, 'slot', slot, 'has a suspect, and its node may lease more')
        expect(is_only_lease(slot), 'slot', slot, 'has a suspect, and its node other leases')
      end
      expect(has_record(site_name), 'site', site_name, 'has a lease and no record')
      local lease = { slot, check_entry(entry, 'the lease of ' .. slot), site_name, out, is_suspect(entry) and 1 or 0 }
      for j = 1, 5 do
        leases[n + j] = lease[j]
      end
      n = n + 5
    end
  end
  return following, leases
end

function kinds.due(name, cursor)
  local following, slots = scan('ZSCAN', P .. name, cursor)
  for i = 1, #slots, 2 do
    expect(call('HEXISTS', P .. 'slot', slots[i]) == 1, 'a deadline has no lease:', slots[i])
  end
  return following, {}
end

function kinds.alone(name)
  local count = call('HLEN', P .. name)
  expect(count == C[ALONE], count, 'nodes have a suspect, counted', C[ALONE])
  return '0', {}
end

-- Found: the ids, empty for what cannot be read.
function kinds.delayed(name, cursor)
  local following, members = scan('ZSCAN', P .. name, cursor)
  local ids = {}
  for i = 1, #members, 2 do
    local entry = members[i]:match('^[^\n]+\n(.*)$')
    expect(entry and entry:find(IS_ENTRY), 'what is delayed cannot be read:', members[i]:sub(1, 80))
    ids[#ids + 1] = check_entry(entry or '', name)
  end
  return following, ids
end

-- Found: of each letter its id, reason, and its entry's id.
function kinds.dead(name, cursor)
  local following, letters = scan('HSCAN', P .. name, cursor)
  local told = {}
  for i = 1, #letters, 2 do
    local reason, entry = letters[i + 1]:match('^([^\n]*)\n[^\n]*\n[^\n]*\n[^\n]*\n(.*)$')
    expect(not reason or call('ZSCORE', P .. 'dead:' .. reason, letters[i]), 'dead letter', letters[i],
      'is not listed under', reason)
    told[#told + 1] = letters[i]
    told[#told + 1] = reason or ''
    told[#told + 1] = check_entry(entry or '', name)
  end
  return following, told
end

-- Found: of each reason how many are counted, and how many are listed.
function kinds.tally(name)
  local told, counts = {}, call('HGETALL', P .. name)
  for i = 1, #counts, 2 do
    told[#told + 1] = counts[i]
    told[#told + 1] = tonumber(counts[i + 1])
    told[#told + 1] = call('ZCARD', P .. 'dead:' .. counts[i])
  end
  return '0', told
end

-- A site's fields and its places in the ready sets. Found: 1 where it counts as a site, and how many it counts in flight.
local function check_site(name)
  local site_name = name:sub(6)
  local v = call('HMGET', P .. name, 'b', 'f', 'l', 'i', 'u', 'x', 't')
  local f, limit, spacing = tonumber(v[2] or 0), tonumber(v[3] or C[LIMIT]), tonumber(v[4] or C[INTERVAL])
  local burst, blocked = tonumber(v[5] or C[BURST]), tonumber(v[6] or 0)
  for band in ('0123456789' .. SUSPECT):gmatch('.') do
    local is_queued = call('EXISTS', P .. 'q:' .. band .. ':' .. site_name) == 1
    local score = tonumber(call('ZSCORE', P .. 'ready:' .. band, site_name) or nil)
    local listed = (v[1] or ''):find(band, 1, true) ~= nil
    expect(is_queued == listed, 'site', site_name, 'lists its bands as', v[1] or '', 'wrong about', band)
    local belongs = is_queued and (limit == 0 or f < limit)
    expect(belongs == (score ~= nil), 'site', site_name, belongs and 'is missing from' or 'does not belong to', 'ready', band)
    if score and spacing > 0 then
      local at = math.max(tonumber(v[7] or 0) - (burst - 1) * spacing, blocked)
      expect(not v[7] or score == at, 'site', site_name, 'is ready at', score, 'eligible at', at)
    elseif score then
      expect(score >= blocked and score <= math.max(C[NOW], blocked), 'site', site_name, 'is ready at', score, 'out of turn')
    end
  end
  return { v[1] and 1 or 0, f }
end

-- Found: the same, both 0 but in the first slice; then each address with how many the site counts by it.
function kinds.site(name, cursor)
  local told = cursor == '0' and check_site(name) or { 0, 0 }
  local page = call('HSCAN', P .. name, cursor, 'MATCH', 'f@*', 'COUNT', AT_ONCE)
  for i = 1, #page[2], 2 do
    told[#told + 1] = page[2][i]:sub(3)
    told[#told + 1] = tonumber(page[2][i + 1])
  end
  spent = spent + 24 + #page[2]
  return page[1], told
end

function kinds.ready(name, cursor)
  local following, sites_there = scan('ZSCAN', P .. name, cursor)
  for i = 1, #sites_there, 2 do
    local known = call('HEXISTS', P .. 'site:' .. sites_there[i], 'b') == 1
    expect(known, 'site', sites_there[i], 'is ready in band', name:sub(7), 'and unknown')
  end
  return following, {}
end

-- Found: how many the address counts in flight.
function kinds.out(name)
  spent = spent + 1
  return '0', { tonumber(call('HGET', P .. name, 'f') or 0) }
end

-- Found: how many wait, without those that were delivered and are kept.
function kinds.outbox(name)
  spent = spent + 1
  local sent, kept = call('HGET', P .. 'sent', name:sub(8)), 0
  if sent then
    kept = sent - (call('HGET', P .. 'struck', name:sub(8)) or 0)
  end
  return '0', { call('LLEN', P .. name) - kept }
end

-- Found: how many fingerprints are known.
function kinds.seen(name)
  spent = spent + 1
  return '0', { call('SCARD', P .. name) }
end

-- Nothing is asked of Redis before the time at which something can be due.
function kinds.ctl()
  local first_due, first_delayed = head_of(P .. 'due'), head_of(P .. 'delayed')
  expect(C[LEASED] == 0 or C[DUE_FROM] <= first_due, 'leases are looked at from', C[DUE_FROM], 'one ends at', first_due)
  expect(C[DELAYED] == 0 or C[DELAYED_FROM] <= first_delayed, 'what is delayed is looked at from', C[DELAYED_FROM],
    'the first is due at', first_delayed)
  expect(C[RENDERED] <= C[DONE], C[RENDERED], 'are rendered, done', C[DONE])
  return '0', {}
end

-- Whether an id is in two places at this moment; in a long queue or among much that is delayed only its beginning is
-- looked at. Found: 1 where it is.
local function is_in(id, place)
  local looks = {}
  if place:sub(1, 2) == 'q:' then
    looks = call('LRANGE', P .. place, 0, 4 * AT_ONCE)
  elseif place == 'delayed' then
    looks = call('ZRANGE', P .. place, 0, 4 * AT_ONCE)
  elseif place == 'dead' then
    looks = { call('HGET', P .. place, id) or '' }
  else
    looks = { call('HGET', P .. 'slot', place:match('^the lease of (.*)$')) or '' }
  end
  for _, text in ipairs(looks) do
    local at = text:find(id, 1, true)
    if at and text:sub(at):find(IS_ENTRY) then
      return true
    end
  end
  return false
end
function kinds.both(name, cursor)
  local one, other = cursor:match('^(.*)\n(.*)$')
  spent = spent + AT_ONCE
  return '0', { is_in(name, one) and is_in(name, other) and 1 or 0 }
end

local results, budget = { call('GET', KEYS[1]) }, tonumber(ARGV[2])
for i = 3, #ARGV, 3 do
  if spent >= budget then
    break
  end
  found = {}
  local look = kinds[ARGV[i]]
  if not look then
    return redis.error_reply('BADARG a piece of an audit has no such kind')
  end
  local cursor, told = look(ARGV[i + 1], ARGV[i + 2])
  results[#results + 1] = { cursor, found, told }
end
return results
