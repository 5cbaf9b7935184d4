-- dispatch: choose the best URL for a slot and lease it, or say when to come back.
-- The site that the slot's context served last is preferred for at most RUN leases in a row; every eighth
-- lease starts at a rotating band, so that no priority starves.
-- Uses: addresses (pair_at), core (head_of), failures (bury_unreadable), nodes (node_of, is_alone,
--       isolate_node), queue (is_suspect), reclaim (expire), site (site, reindex_sites, has_room, eligible_at),
--       throttle (overall_at, spend)
local SOON_MS, SOONEST_MS, EVERY, ZERO = 250, 10, 8, 48
-- How many of a band's ready sites a lease looks at when its own egress address may be blocked at some: the first ones, then
-- some of the others, elsewhere each time, so that no number of blocked ones hides the rest.
local FIRST, OTHERS = 8, 56

local function wait_until(at)
  return { 'IDLE', 'waiting', math.max(SOONEST_MS, math.min(math.floor(at - now), SOON_MS)) }
end

local function earliest()
  local at = math.min(C[LEASED] > 0 and head_of(P .. 'due') or NEVER, C[DELAYED] > 0 and head_of(P .. 'delayed') or NEVER)
  for band = 0, 9 do
    if C[Q + band] > 0 then
      at = math.min(at, head_of(P .. 'ready:' .. band))
    end
  end
  if C[SUSPECTS] > 0 then
    at = math.min(at, head_of(P .. 'ready:' .. SUSPECT))
  end
  return at
end

local function refusal(slot, limit, out)
  if C[DELAYED] + C[LEASED] + C[OUTBOX] + C[SUSPECTS] == 0 then
    local queued = 0
    for band = 0, 9 do
      queued = queued + C[Q + band]
    end
    if queued == 0 then
      return { 'IDLE', 'empty', 0 }
    end
  end
  if C[SHARDS] > 1 and limit > 0 then
    limit = C[ALLOWED] > 0 and C[ALLOWED] or -1
  end
  if C[STATE] ~= 0 then
    return { 'IDLE', ({ 'paused', 'draining', 'stopped' })[C[STATE]], SOON_MS }
  elseif limit ~= 0 and C[RENDERED] + C[LEASED] >= limit then
    return { 'IDLE', 'limit', C[LEASED] > 0 and SOON_MS or 0 }
  end
  if C[ALONE] > 0 and call('HGET', P .. 'alone', node_of(slot)) then
    return { 'IDLE', 'waiting', SOON_MS }
  end
  local at = overall_at(out)
  return at > now and wait_until(at) or nil
end

-- The first of some ready sites that the address may visit; else nil, and when it may visit one of them.
local function open_among(ready, from, count, out)
  local blocked_until = NEVER
  local names = call('ZRANGE', ready, '-inf', ('%d'):format(now), 'BYSCORE', 'LIMIT', from, count)
  for i = 1, #names do
    local s = site(names[i])
    local at = out == '' and now or pair_at(s, out)
    if at <= now then
      return s, at
    end
    blocked_until = math.min(blocked_until, at)
  end
  return nil, blocked_until
end

local function open_site(ready, out, jitter)
  if out == '' then
    return open_among(ready, '0', '1', out)
  end
  local s, blocked_until = open_among(ready, 0, FIRST, out)
  local others = s and 0 or call('ZCOUNT', ready, '-inf', ('%d'):format(now)) - FIRST
  if others > 0 then
    local from = FIRST - OTHERS + 1 + math.floor(jitter * (others + OTHERS - 1))
    local at
    s, at = open_among(ready, math.max(FIRST, from), OTHERS, out)
    blocked_until = math.min(blocked_until, at)
  end
  return s, blocked_until
end

-- Returns site and band, the band as a digit: Lua is slow to print a number. Where there is none, nil twice and when
-- the address may visit one that is ready.
local function choose(preferred, out, jitter)
  local blocked_until = NEVER
  C[TURN] = C[TURN] + 1
  local start = C[TURN] % EVERY == 0 and (C[TURN] / EVERY) % 10 or 9
  for i = 0, 9 do
    local band = (start - i) % 10
    if C[Q + band] > 0 then
      local digit = string.char(ZERO + band)
      if preferred and preferred[BANDS]:find(digit, 1, true) then
        return preferred, digit
      end
      -- What this call changed must be in the ready sets before they are read.
      reindex_sites()
      local s, at = open_site(P .. 'ready:' .. digit, out, jitter)
      if s then
        return s, digit
      end
      blocked_until = math.min(blocked_until, at)
    end
  end
  return nil, nil, blocked_until
end

-- Returns site and band where a suspect may be leased; else nil twice, when the address may visit one, and whether
-- one only waits for the node to hold nothing else.
local function choose_suspect(slot, alone, out, jitter)
  if C[SUSPECTS] == 0 then
    return nil, nil, NEVER
  end
  reindex_sites()
  local s, blocked_until = open_site(P .. 'ready:' .. SUSPECT, out, jitter)
  if not s then
    return nil, nil, blocked_until
  elseif alone == '1' and is_alone(slot) then
    return s, SUSPECT
  end
  return nil, nil, NEVER, true
end

local function take(s, band)
  local queue = P .. 'q:' .. band .. ':' .. s[NAME]
  local entry = call('LPOP', queue)
  if not entry or call('EXISTS', queue) == 0 then
    s[BANDS] = s[BANDS]:gsub(band, '')
  end
  if entry and band == SUSPECT then
    C[SUSPECTS] = C[SUSPECTS] - 1
  elseif entry then
    C[Q + band] = C[Q + band] - 1
  else
    call('ZREM', P .. 'ready:' .. band, s[NAME])
  end
  return entry
end

-- Where nothing has to lie between visits, a site that a slot stays at keeps its turn: it moves behind the others when
-- the slot comes and when its run ends.
local function grant(r, s, entry, request, out, nonce, jitter, stays_on)
  local name = s[NAME]
  C[TOKEN] = math.max(C[TOKEN] + 1, micros)
  C[LEASED] = C[LEASED] + 1
  r[STAYED] = name == r[AT] and r[STAYED] < C[RUN] and r[STAYED] + 1 or 1
  r[REQUEST], r[FENCE], r[UNTIL] = request, ('%d'):format(C[TOKEN]) .. nonce, ('%d'):format(now + C[VISIBILITY])
  r[AT], r[OUT], r[ENTRY] = name, out, entry
  if is_suspect(entry) then
    isolate_node(r[SLOT])
  end
  spend(s, out, jitter, not stays_on)
  return { 'LEASE', r[FENCE], name, entry }
end

-- Gives the slot of record r a lease; the caller keeps the record and the deadline. `alone` is 1 where the slot's node
-- holds nothing in other shards.
local function dispatch(r, request, hint, limit, out, nonce, jitter, alone)
  if r[FENCE] ~= '' then
    if r[REQUEST] == request then
      return { 'LEASE', r[FENCE], r[AT], r[ENTRY] }
    end
    expire(r)
  end
  r[REQUEST] = request
  local no = refusal(r[SLOT], tonumber(limit), out)
  if no then
    return no
  end
  local preferred
  if hint ~= '' then
    local s = site(hint)
    if hint == r[AT] and r[STAYED] >= C[RUN] then
      s[MOVED] = true
    elseif has_room(s) and eligible_at(s) <= now and (out == '' or pair_at(s, out) <= now) then
      preferred = s
    end
  end
  while true do
    local s, band, blocked_until = choose(preferred, out, jitter)
    if not s then
      local at, waits
      s, band, at, waits = choose_suspect(r[SLOT], alone, out, jitter)
      if waits then
        return { 'IDLE', 'waiting', SOON_MS, 'suspect' }
      end
      blocked_until = math.min(blocked_until, at or NEVER)
    end
    if not s then
      return wait_until(blocked_until < NEVER and blocked_until or earliest())
    end
    local entry = take(s, band)
    if entry and entry:find(IS_ENTRY) then
      return grant(r, s, entry, request, out, nonce, jitter, s == preferred)
    elseif entry then
      bury_unreadable(s[NAME], entry, 'the entry cannot be read')
    end
  end
end
