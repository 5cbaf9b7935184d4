-- mishaps: what few calls meet with: a lease whose holder is gone, an entry or a record that cannot be read, a burial.
-- Changes an entry's counts; nil when it is none.
local function recount(entry, fails, throttled, expiries)
  if not entry:find(IS_ENTRY) then
    return nil
  end
  local brace = entry:find('[', 18, true)
  local f, t, x = entry:sub(18, brace - 1):match('^(%d+)%.(%d+)%.(%d+)$')
  f, t, x = (f or 0) + fails, (t or 0) + throttled, (x or 0) + expiries
  local counts = f + t + x > 0 and ('%d.%d.%d'):format(f, t, x) or ''
  return entry:sub(1, 17) .. counts .. entry:sub(brace), x
end

local function bury(site_name, id, entry, reason, detail)
  tallies()
  local now_text = ('%d'):format(now)
  call('HSET', P .. 'dead', id, table.concat({ reason, now_text, detail, site_name, entry }, '\n'))
  call('ZADD', P .. 'dead:' .. reason, now_text, id)
  call('HINCRBY', P .. 'tally', reason, 1)
  T[DEAD] = T[DEAD] + 1
end

-- A record that somebody else has garbled must not stop the crawl: no call would get past it.
local function clear_away(slot, record)
  call('HDEL', P .. 'slot', slot)
  if call('ZREM', P .. 'due', slot) == 1 then
    local name, out = record:match('^%Z*%z%Z*%z%Z*%z(%Z+)%z(%Z*)%z')
    if name and site(name)[KNOWN] then
      let_go({ [AT] = name, [OUT] = out, [ENTRY] = '' })
    else
      C[LEASED] = C[LEASED] - 1
    end
    bury('', redis.sha1hex(record):sub(1, 16), record, 'corrupt', 'the lease cannot be read')
  end
end

-- A lease whose holder is gone: it costs a life, not an attempt.
local function expire(r)
  tallies()
  local s, entry = let_go(r)
  local again, expiries = recount(entry, 0, 0, 1)
  local id = (again or redis.sha1hex(entry)):sub(1, 16)
  T[EXPIRED] = T[EXPIRED] + 1
  if not again then
    bury(s[NAME], id, entry, 'corrupt', 'the entry cannot be read')
  elseif expiries >= C[LIVES] then
    bury(s[NAME], id, again, 'worker_died', 'its lease expired ' .. expiries .. ' times')
  else
    enqueue(s[NAME], again, 'LPUSH')
  end
end
