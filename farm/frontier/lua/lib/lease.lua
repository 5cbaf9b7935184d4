-- lease: who holds what, until when; how a lease comes back by itself.
-- A slot has one record: its last settlement, its last request, and the lease that it holds. So a slot cannot
-- hold two leases, and a repeated call finds what it did the first time.
local SETTLED, REQUEST, ID, FENCE, AT, OUT, STAYED, ENTRY = 1, 2, 3, 4, 5, 6, 7, 8
local NEVER = 9e15

-- A record that somebody else has garbled must not stop the crawl: no call would get past it.
local function clear_away(slot, record)
  redis.call('HDEL', P .. 'slot', slot)
  if redis.call('ZREM', P .. 'due', slot) == 1 then
    C[LEASED] = C[LEASED] - 1
    bury('', redis.sha1hex(record):sub(1, 16), record, 'corrupt', 'the lease cannot be read')
  end
end

local function record_of(slot)
  local record = redis.call('HGET', P .. 'slot', slot)
  if record then
    local r = { record:match('^([^\n]*)\n([^\n]*)\n(%x*)\n(%d*)\n([^\n]*)\n([^\n]*)\n(%d+)\n(.*)$') }
    if r[1] then
      return r
    end
    clear_away(slot, record)
  end
  return { '', '', '', '', '', '', 0, '' }
end

local function keep_record(slot, r)
  redis.call('HSET', P .. 'slot', slot, table.concat(r, '\n'))
end

-- Takes the lease out of a record; the caller says where the entry goes, and keeps the record.
local function let_go(r)
  local s, entry, out = site(r[AT]), r[ENTRY], r[OUT]
  C[LEASED] = C[LEASED] - 1
  s[FLYING] = s[FLYING] - 1
  if out ~= '' then
    redis.call('HINCRBY', P .. 'site:' .. r[AT], 'f@' .. out, -1)
    redis.call('HINCRBY', P .. 'out:' .. out, 'f', -1)
  end
  r[ID], r[FENCE], r[OUT], r[ENTRY] = '', '', '', ''
  return s, entry
end

-- A lease whose holder is gone: it costs a life, not an attempt.
local function expire(r)
  local id = r[ID]
  local s, entry = let_go(r)
  local again, expiries = recount(entry, 0, 0, 1)
  C[EXPIRED] = C[EXPIRED] + 1
  if not again then
    bury(s[NAME], id, entry, 'corrupt', 'the entry cannot be read')
  elseif expiries >= C[LIVES] then
    bury(s[NAME], id, again, 'worker_died', 'its lease expired ' .. expiries .. ' times')
  else
    enqueue(s, again, 'LPUSH')
  end
end

local function head_of(key)
  return tonumber(redis.call('ZRANGE', key, '0', '0', 'WITHSCORES')[2]) or NEVER
end

-- At most `most` due entries; needs no leader, since every call brings a few of them home. Nothing is asked of
-- Redis before the time at which something can be due.
local function bring_home(most)
  local moved = 0
  if C[LEASED] > 0 and now >= C[DUE_FROM] then
    local slots = redis.call('ZRANGE', P .. 'due', '-inf', now_text, 'BYSCORE', 'LIMIT', '0', most)
    for _, slot in ipairs(slots) do
      local r = record_of(slot)
      if r[ID] ~= '' then
        expire(r)
      end
      -- Whoever was silent that long is taken for dead, and is remembered no more.
      redis.call('HDEL', P .. 'slot', slot)
      redis.call('ZREM', P .. 'due', slot)
    end
    C[DUE_FROM] = math.min(head_of(P .. 'due'), now + C[VISIBILITY])
    moved = #slots
  end
  if C[DELAYED] > 0 and now >= C[DELAYED_FROM] and moved < most then
    local members = redis.call('ZRANGE', P .. 'delayed', '-inf', now_text, 'BYSCORE', 'LIMIT', '0', most - moved)
    for _, member in ipairs(members) do
      local break_at = member:find('\n', 1, true)
      redis.call('ZREM', P .. 'delayed', member)
      enqueue(site(member:sub(1, break_at - 1)), member:sub(break_at + 1), 'RPUSH')
    end
    C[DELAYED] = C[DELAYED] - #members
    C[DELAYED_FROM] = head_of(P .. 'delayed')
    moved = moved + #members
  end
  return moved
end
