-- hand_out: choose the best URL for a slot and lease it, or say when to come back.
-- The site that the slot's context served last is preferred for at most `run` leases in a row; every
-- eighth lease starts at a rotating band, so that no priority starves.
local SOON_MS, POLL_MS = 250, 250
local EVERY = 8

local function idle(reason, retry_ms)
  return { 'IDLE', reason, floor(retry_ms) }
end

local function when_due()
  local soonest = now + POLL_MS
  local function look(key)
    local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if head[2] then
      soonest = min(soonest, tonumber(head[2]))
    end
  end
  for band = 0, 9 do
    if C['q' .. band] > 0 then
      look(P .. 'ready:' .. band)
    end
  end
  if C.delayed > 0 then
    look(P .. 'delayed')
  end
  look(P .. 'due')
  return max(10, soonest - now)
end

local function first_band()
  bump('turn', 1)
  if C.turn % EVERY == 0 then
    return (C.turn / EVERY) % 10
  end
  return 9
end

-- How far into a band's ready sites a lease looks when its own address is blocked on the first ones.
local LOOK_AHEAD = 8

local function open_to(s, egress)
  if egress == '' then
    return true
  end
  local blocked = tonumber(call('HGET', P .. 'site:' .. s.name, 'x@' .. egress) or 0)
  return blocked <= now
end

local function choose(hint, egress)
  local start = first_band()
  local preferred = hint and site(hint)
  if preferred and not (has_room(preferred) and eligible_at(preferred) <= now and open_to(preferred, egress)) then
    preferred = nil
  end
  for i = 0, 9 do
    local band = (start - i) % 10
    if C['q' .. band] > 0 then
      if preferred and find(preferred.bands, band, 1, true) then
        return preferred, band
      end
      local look = egress == '' and 1 or LOOK_AHEAD
      local ready = call('ZRANGE', P .. 'ready:' .. band, '-inf', now, 'BYSCORE', 'LIMIT', 0, look)
      for _, name in ipairs(ready) do
        local s = site(name)
        if open_to(s, egress) then
          return s, band
        end
      end
    end
  end
  return nil
end

local function take(s, band)
  local queue = P .. 'q:' .. band .. ':' .. s.name
  local entry = call('LPOP', queue)
  if not entry or call('EXISTS', queue) == 0 then
    s.bands = string.gsub(s.bands, band, '')
  end
  if entry then
    bump('q' .. band, -1)
  else
    call('ZREM', P .. 'ready:' .. band, s.name)
  end
  return entry
end

local function spend(s, jitter)
  s.flying = s.flying + 1
  s.tat = max(s.tat, now) + floor(s.interval * (1 + 0.2 * jitter))
  if C.giv > 0 then
    put('tat', max(C.tat, now) + floor(C.giv * (1 + 0.2 * jitter)))
  end
end

local function refusal(limit)
  local open = queued() + C.delayed + C.leased
  if open == 0 then
    return idle('empty', 0)
  elseif C.state ~= 'running' then
    return idle(C.state, SOON_MS)
  elseif limit > 0 and C.rendered + C.leased >= limit then
    return idle('limit', C.leased > 0 and SOON_MS or 0)
  elseif C.glim > 0 and C.leased >= C.glim then
    return idle('waiting', when_due())
  elseif C.giv > 0 and C.tat > now then
    return idle('waiting', C.tat - now)
  end
  return nil
end

local function hand_out(me, want)
  local current = me.id ~= '' and held(me.id)
  if current and current.token == me.token then
    if me.request == want.request then
      return { 'LEASE', current.token, current.site, current.entry }
    end
    expire(current)
  end
  me.request, me.id, me.token = want.request, '', ''
  place_sites()
  local no = refusal(want.limit)
  if no then
    return no
  end
  local hint = want.hint ~= '' and (want.hint ~= me.site or me.run < C.run) and want.hint or nil
  while true do
    local s, band = choose(hint, want.egress)
    if not s then
      return idle('waiting', when_due())
    end
    local entry = take(s, band)
    if entry and parse(entry) then
      local id, token = sub(entry, 1, 16), next_token(want.nonce)
      call('HSET', P .. 'lease', id, table.concat({ token, me.name, s.name, want.egress, entry }, '\n'))
      call('ZADD', P .. 'due', now + C.vis, id)
      bump('leased', 1)
      spend(s, want.jitter)
      me.run = s.name == me.site and me.run < C.run and me.run + 1 or 1
      me.id, me.token, me.site = id, token, s.name
      return { 'LEASE', token, s.name, entry }
    elseif entry then
      bury(s.name, sub(redis.sha1hex(entry), 1, 16), entry, 'corrupt', 'the entry cannot be read')
    end
    place_sites()
  end
end
