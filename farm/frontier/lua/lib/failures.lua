-- failures: what few calls meet with: a lease whose holder is gone, an entry or a record that cannot be read, a burial.
-- Changes an entry's counts; nil when it is none.
local function recount(entry, fails, throttled, deaths)
  if not entry:find(IS_ENTRY) then
    return nil
  end
  local brace = entry:find('[', 18, true)
  local f, t, x = entry:sub(18, brace - 1):match('^(%d+)%.(%d+)%.(%d+)$')
  f, t, x = (f or 0) + fails, (t or 0) + throttled, (x or 0) + deaths
  local counts = f + t + x > 0 and ('%d.%d.%d'):format(f, t, x) or ''
  return entry:sub(1, 17) .. counts .. entry:sub(brace), x
end

-- The date is the server's own: it is for people. No letter replaces another: what was garbled may have one's id.
local function bury(site_name, id, entry, reason, detail)
  tallies()
  local when = ('%d'):format(micros / 1000)
  local letter = table.concat({ reason, when, detail, site_name, entry }, '\n')
  while call('HSETNX', P .. 'dead', id, letter) == 0 do
    id = redis.sha1hex(id):sub(1, 16)
  end
  call('ZADD', P .. 'dead:' .. reason, when, id)
  call('HINCRBY', P .. 'tally', reason, 1)
  T[DEAD] = T[DEAD] + 1
end

-- What cannot be read has no id that could be believed.
local function bury_unreadable(site_name, text, detail)
  bury(site_name, redis.sha1hex(text):sub(1, 16), text, 'corrupt', detail)
end

-- A record that somebody else has garbled must not stop the crawl: no call would get past it.
local function clear_away(slot, record)
  call('HDEL', P .. 'slot', slot)
  if call('ZREM', P .. 'due', slot) == 1 then
    local name, out = record:match('^%Z*%z%Z*%z%Z*%z(%Z+)%z(%Z*)%z')
    if name and site(name)[KNOWN] then
      release({ [AT] = name, [OUT] = out, [ENTRY] = '', [SLOT] = slot })
    else
      C[LEASED] = C[LEASED] - 1
      admit_company(slot)
    end
    bury_unreadable('', record, 'the lease cannot be read')
  end
end

-- A lease whose holder is gone. It costs no attempt, and a life only where the URL was leased alone. Others come first.
local function expire(r)
  tallies()
  local s, entry = release(r)
  local again, deaths = recount(entry, 0, 0, 1)
  T[EXPIRED] = T[EXPIRED] + 1
  if not again then
    bury_unreadable(s[NAME], entry, 'the entry cannot be read')
  elseif deaths >= IN_COMPANY + C[LIVES] then
    bury(s[NAME], again:sub(1, 16), again, 'worker_died', 'its node died ' .. C[LIVES] .. ' times with nothing else leased')
  else
    enqueue(s[NAME], again, 'RPUSH')
  end
end

-- A lease whose holder went away without fault.
local function give_back(r)
  local s, entry = release(r)
  if entry:find(IS_ENTRY) then
    enqueue(s[NAME], entry, 'LPUSH')
  else
    bury_unreadable(s[NAME], entry, 'the entry cannot be read')
  end
end
