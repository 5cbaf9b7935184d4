-- lease: who holds what, until when; how a lease comes back by itself.
local NEVER = 9e15

-- Returns token, slot, site, egress address, entry; nothing where nobody holds the id.
local function held(id)
  local record = call('HGET', P .. 'lease', id)
  if record then
    return record:match('^(%d+)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$')
  end
end

local function let_go(id, site_name, out)
  call('HDEL', P .. 'lease', id)
  call('ZREM', P .. 'due', id)
  C[LEASED] = C[LEASED] - 1
  if out ~= '' then
    call('HINCRBY', P .. 'site:' .. site_name, 'f@' .. out, -1)
    call('HINCRBY', P .. 'out:' .. out, 'f', -1)
  end
  local s = site(site_name)
  s[FLYING] = s[FLYING] - 1
  return s
end

-- A lease whose holder is gone: it costs a life, not an attempt.
local function expire(id, site_name, out, entry)
  local s = let_go(id, site_name, out)
  local again, expiries = recount(entry, 0, 0, 1)
  C[EXPIRED] = C[EXPIRED] + 1
  if not again then
    bury(site_name, id, entry, 'corrupt', 'the entry cannot be read')
  elseif expiries >= C[LIVES] then
    bury(site_name, id, again, 'worker_died', 'its lease expired ' .. expiries .. ' times')
  else
    enqueue(s, again, 'LPUSH')
  end
end

local function head_of(key)
  return tonumber(call('ZRANGE', key, '0', '0', 'WITHSCORES')[2]) or NEVER
end

-- A lease that somebody else has garbled must not stop the crawl: no call would get past it.
local function clear_away(id)
  local record = call('HGET', P .. 'lease', id)
  call('ZREM', P .. 'due', id)
  if record then
    call('HDEL', P .. 'lease', id)
    C[LEASED] = C[LEASED] - 1
    bury('', id, record, 'corrupt', 'the lease cannot be read')
  end
end

-- At most `most` due entries; needs no leader, since every call brings a few of them home. Nothing is asked of
-- Redis before the time at which something can be due.
local function bring_home(most)
  local moved = 0
  if C[LEASED] > 0 and now >= C[DUE_FROM] then
    local ids = call('ZRANGE', P .. 'due', '-inf', now_text, 'BYSCORE', 'LIMIT', '0', most)
    for _, id in ipairs(ids) do
      local token, _, site_name, out, entry = held(id)
      if token then
        expire(id, site_name, out, entry)
      else
        clear_away(id)
      end
    end
    C[DUE_FROM] = min(head_of(P .. 'due'), now + C[VISIBILITY])
    moved = #ids
  end
  if C[DELAYED] > 0 and now >= C[DELAYED_FROM] and moved < most then
    local members = call('ZRANGE', P .. 'delayed', '-inf', now_text, 'BYSCORE', 'LIMIT', '0', most - moved)
    for _, member in ipairs(members) do
      local break_at = member:find('\n', 1, true)
      call('ZREM', P .. 'delayed', member)
      enqueue(site(member:sub(1, break_at - 1)), member:sub(break_at + 1), 'RPUSH')
    end
    C[DELAYED] = C[DELAYED] - #members
    C[DELAYED_FROM] = head_of(P .. 'delayed')
    moved = moved + #members
  end
  return moved
end
