#!lua flags=no-writes
-- Purpose:   prove the invariants, or say which do not hold.
-- Guarantee: sees one moment; changes nothing. Reads every key of the shard, so it is for tests, for doctors and
--            for crawls that stand still: a million URLs take seconds.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 how many violations to tell at most
-- Returns:   the violations, a sentence each
begin()
local found, most = {}, tonumber(ARGV[2])
tallies()
local function expect(holds, ...)
  if not holds and #found < most then
    local words = { ... }
    for i = 1, #words do
      words[i] = type(words[i]) == 'number' and ('%d'):format(words[i]) or tostring(words[i])
    end
    found[#found + 1] = table.concat(words, ' ')
  end
end

local function each_key(pattern, visit)
  local cursor, visited = '0', {}
  repeat
    local page = call('SCAN', cursor, 'MATCH', P .. pattern, 'COUNT', '1000')
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      if not visited[key] then
        visited[key] = true
        visit(key:sub(#P + 1), key)
      end
    end
  until cursor == '0'
end

local function pairs_of(flat)
  local result = {}
  for i = 1, #flat, 2 do
    result[flat[i]] = flat[i + 1]
  end
  return result
end

-- Every id is in one place.
local places = {}
local function put(entry, place)
  if entry:find(IS_ENTRY) then
    local id = entry:sub(1, 16)
    expect(not places[id], 'id', id, 'is in', places[id], 'and in', place)
    places[id] = place
  end
end

-- The queues, and which bands each site has.
local queued, bands_of = { [SUSPECT] = 0 }, {}
for band = 0, 9 do
  queued[tostring(band)] = 0
end
each_key('q:*', function(name, key)
  local band, site_name = name:match('^q:([%ds]):(.*)$')
  for _, entry in ipairs(call('LRANGE', key, '0', '-1')) do
    put(entry, key)
    queued[band] = queued[band] + 1
    expect(entry:find(IS_ENTRY), 'an entry that cannot be read is in', key)
    local belongs = is_suspect(entry) and SUSPECT or entry:sub(17, 17)
    expect(belongs == band or not entry:find(IS_ENTRY), 'an entry of another band is in', key)
  end
  bands_of[site_name] = bands_of[site_name] or {}
  bands_of[site_name][band] = true
end)
local all_queued = queued[SUSPECT]
expect(queued[SUSPECT] == C[SUSPECTS], queued[SUSPECT], 'suspects are queued, counted', C[SUSPECTS])
for band = 0, 9 do
  local has = queued[tostring(band)]
  expect(has == C[Q + band], 'band', band, 'has', has, 'queued, counted', C[Q + band])
  all_queued = all_queued + has
end

-- The leases, in flight by site, by pair and by address.
local leased, flying, pairs_flying, out_flying, alone = 0, {}, {}, {}, pairs_of(call('HGETALL', P .. 'alone'))
local suspects = 0
local due = pairs_of(call('ZRANGE', P .. 'due', '0', '-1', 'WITHSCORES'))
for slot, record in pairs(pairs_of(call('HGETALL', P .. 'slot'))) do
  local token, name, out, ends, entry = record:match('^%Z*%z%Z*%z(%d*)%z(%Z*)%z(%Z*)%z%d+%z(%d*)%z(.*)$')
  expect(token, 'the record of slot', slot, 'cannot be read')
  expect((token or '') ~= '' == (due[slot] ~= nil), 'slot', slot, 'has a lease without a deadline, or the reverse')
  if token and token ~= '' then
    leased = leased + 1
    flying[name] = (flying[name] or 0) + 1
    if out ~= '' then
      pairs_flying[name .. '\n' .. out] = (pairs_flying[name .. '\n' .. out] or 0) + 1
      out_flying[out] = (out_flying[out] or 0) + 1
    end
    put(entry, 'the lease of ' .. slot)
    if is_suspect(entry) then
      suspects = suspects + 1
      expect(alone[node_of(slot)] == slot, 'slot', slot, 'has a suspect, alone is', alone[node_of(slot)])
      expect(is_alone(slot), 'slot', slot, 'has a suspect, and its node other leases')
    end
    local last = math.max(tonumber(ends) or 0, tonumber(due[slot]) or 0)
    expect(last <= now + C[VISIBILITY], 'the lease of', slot, 'ends at', last, 'which is too far off')
    expect(tonumber(token:sub(1, -4)) <= C[TOKEN], 'token', token, 'is ahead of the last one,', C[TOKEN])
  end
  due[slot] = nil
end
expect(next(due) == nil, 'a deadline has no lease:', next(due))
expect(suspects == C[ALONE], suspects, 'suspects are leased, counted', C[ALONE])
expect(call('HLEN', P .. 'alone') == suspects, 'nodes are kept alone without a suspect')
expect(leased == C[LEASED], leased, 'are leased, counted', C[LEASED])

-- What waits.
local delayed = call('ZRANGE', P .. 'delayed', '0', '-1')
for _, member in ipairs(delayed) do
  local entry = member:match('^[^\n]+\n(.*)$')
  expect(entry and entry:find(IS_ENTRY), 'what is delayed cannot be read:', member:sub(1, 80))
  put(entry or '', 'delayed')
end
expect(#delayed == C[DELAYED], #delayed, 'are delayed, counted', C[DELAYED])

-- Nothing is asked of Redis before the time at which something can be due.
local first_due, first_delayed = head_of(P .. 'due'), head_of(P .. 'delayed')
expect(C[LEASED] == 0 or C[DUE_FROM] <= first_due, 'leases are looked at from', C[DUE_FROM], 'one ends at', first_due)
expect(C[DELAYED] == 0 or C[DELAYED_FROM] <= first_delayed, 'what is delayed is looked at from', C[DELAYED_FROM],
  'the first is due at', first_delayed)
local outgoing = 0
each_key('outbox:*', function(_, key)
  outgoing = outgoing + call('LLEN', key)
end)
expect(outgoing == C[OUTBOX], outgoing, 'wait for other shards, counted', C[OUTBOX])

-- The dead, by reason.
local dead, by_reason = 0, {}
for id, letter in pairs(pairs_of(call('HGETALL', P .. 'dead'))) do
  local reason, entry = letter:match('^([^\n]*)\n[^\n]*\n[^\n]*\n[^\n]*\n(.*)$')
  dead = dead + 1
  if reason then
    by_reason[reason] = (by_reason[reason] or 0) + 1
    put(entry, 'dead')
    expect(call('ZSCORE', P .. 'dead:' .. reason, id), 'dead letter', id, 'is not listed under', reason)
  end
end
expect(dead == T[DEAD], dead, 'are dead, counted', T[DEAD])
for reason, count in pairs(pairs_of(call('HGETALL', P .. 'tally'))) do
  local listed = call('ZCARD', P .. 'dead:' .. reason)
  expect(count + 0 == (by_reason[reason] or 0), count, 'are counted dead of', reason, 'but', by_reason[reason] or 0, 'are')
  expect(count + 0 == listed, count, 'are counted dead of', reason, 'but', listed, 'are listed')
end
each_key('dead:*', function(name)
  expect(by_reason[name:sub(6)], 'letters are listed under', name, 'and none is there')
end)

expect(C[RENDERED] <= C[DONE], C[RENDERED], 'are rendered, done', C[DONE])
expect(T[ACCEPTED] == all_queued + #delayed + leased + C[DONE] + dead, 'the ledger does not balance: accepted',
  T[ACCEPTED], 'queued', all_queued, 'delayed', #delayed, 'leased', leased, 'done', C[DONE], 'dead', dead)

-- The sites: their fields, and their places in the ready sets.
local sites, ready = 0, {}
local all_bands = { SUSPECT }
for band = 0, 9 do
  all_bands[#all_bands + 1] = tostring(band)
end
for _, band in ipairs(all_bands) do
  ready[band] = pairs_of(call('ZRANGE', P .. 'ready:' .. band, '0', '-1', 'WITHSCORES'))
end
each_key('site:*', function(name, key)
  local s, site_name = pairs_of(call('HGETALL', key)), name:sub(6)
  local has = bands_of[site_name] or {}
  sites = sites + (s.b and 1 or 0)
  local f, limit = tonumber(s.f or 0), tonumber(s.l or C[LIMIT])
  local spacing, burst = tonumber(s.i or C[INTERVAL]), tonumber(s.u or C[BURST])
  local blocked = tonumber(s.x or 0)
  expect(f == (flying[site_name] or 0), 'site', site_name, 'counts', f, 'in flight, it has', flying[site_name] or 0)
  for field, value in pairs(s) do
    local out = field:match('^f@(.*)$')
    local has_pair = out and pairs_flying[site_name .. '\n' .. out] or 0
    expect(not out or value + 0 == has_pair, 'site', site_name, 'counts', value, 'in flight by', out, 'has', has_pair)
  end
  for _, band in ipairs(all_bands) do
    local key_of_band = band
    local is_queued = has[key_of_band] or false
    local score = tonumber(ready[band][site_name])
    local listed = ((s.b or ''):find(key_of_band, 1, true)) ~= nil
    expect(is_queued == listed, 'site', site_name, 'lists its bands as', s.b, 'wrong about', band)
    local belongs = is_queued and (limit == 0 or f < limit)
    expect(belongs == (score ~= nil), 'site', site_name, belongs and 'is missing from' or 'does not belong to', 'ready', band)
    if score and spacing > 0 then
      local at = math.max(tonumber(s.t or 0) - (burst - 1) * spacing, blocked)
      expect(not s.t or score == at, 'site', site_name, 'is ready at', score, 'eligible at', at)
    elseif score then
      expect(score >= blocked and score <= math.max(C[NOW], blocked), 'site', site_name, 'is ready at', score, 'out of turn')
    end
    ready[band][site_name] = nil
  end
  bands_of[site_name], flying[site_name] = nil, nil
end)
expect(sites == T[SITES], sites, 'sites are there, counted', T[SITES])
expect(next(bands_of) == nil, 'site', next(bands_of), 'has a queue and no record')
expect(next(flying) == nil, 'site', next(flying), 'has a lease and no record')
for _, band in ipairs(all_bands) do
  expect(next(ready[band]) == nil, 'site', next(ready[band]), 'is ready in band', band, 'and unknown')
end
each_key('out:*', function(name, key)
  local f = tonumber(call('HGET', key, 'f') or 0)
  expect(f == (out_flying[name:sub(5)] or 0), name, 'counts', f, 'in flight, it has', out_flying[name:sub(5)] or 0)
end)

-- The known fingerprints: nothing that was accepted is forgotten.
local folds = round_of()
for id in pairs(places) do
  expect(is_known(fingerprint_of(id), folds), 'id', id, 'is in', places[id], 'and not known')
end
if C[DEDUP] == 0 then
  local known = 0
  each_key('seen:*', function(_, key)
    known = known + call('SCARD', key)
  end)
  local ought = T[ACCEPTED] + T[SEEN] + T[DROPPED]
  expect(known == ought, known, 'fingerprints are known, accepted, seen and dropped are', ought)
end
return found
