-- lease: who holds what, until when; how a lease comes back by itself.
-- A slot has one record: its last settlement, its last request, and the lease that it holds. So a slot cannot
-- hold two leases, and a repeated call finds what it did the first time. When a lease ends stands in the record and
-- in the set of what is due, and the later counts: so a slot that goes from lease to lease stays where it is in the
-- set, and a lease that is renewed keeps its record.
local SETTLED, REQUEST, FENCE, AT, OUT, STAYED, UNTIL, ENTRY, HAD, SLOT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

local function record_of(slot)
  local record = call('HGET', P .. 'slot', slot)
  if record then
    -- Seven strings, each with a NUL at its end, and the entry.
    local ok, settled, request, fence, at, out, stayed, ends, from = pcall(struct.unpack, 'sssssss', record)
    stayed = ok and tonumber(stayed)
    if stayed and (fence == '' or tonumber(fence)) and (ends == '' or tonumber(ends)) then
      return { settled, request, fence, at, out, stayed, ends, record:sub(from), fence ~= '', slot }
    end
    clear_away(slot, record)
  end
  return { '', '', '', '', '', 0, '', '', false, slot }
end

-- Whether the slot holds the lease of this id and token.
local function holds(r, id, token)
  return r[FENCE] == token and token ~= '' and r[ENTRY]:sub(1, 16) == id
end

-- Writes down what a settlement and a lease did to a slot.
local function keep_slot(slot, r)
  call('HSET', P .. 'slot', slot, table.concat(r, '\0', SETTLED, ENTRY))
  if r[FENCE] == '' and r[HAD] then
    call('ZREM', P .. 'due', slot)
  elseif r[FENCE] ~= '' and not r[HAD] then
    call('ZADD', P .. 'due', r[UNTIL], slot)
  end
end

-- Takes the lease out of a record; the caller says where the entry goes, and keeps the record.
local function release(r)
  local s, entry, out = site(r[AT]), r[ENTRY], r[OUT]
  C[LEASED] = C[LEASED] - 1
  s[FLYING] = s[FLYING] - 1
  if out ~= '' then
    call('HINCRBY', P .. 'site:' .. r[AT], 'f@' .. out, -1)
    call('HINCRBY', P .. 'out:' .. out, 'f', -1)
  end
  if C[ALONE] > 0 then
    admit_company(r[SLOT])
  end
  r[FENCE], r[OUT], r[UNTIL], r[ENTRY] = '', '', '', ''
  return s, entry
end

local function head_of(key)
  return tonumber(call('ZRANGE', key, '0', '0', 'WITHSCORES')[2]) or NEVER
end

-- At most `most` due entries; needs no leader, since every call brings a few of them home. Nothing is asked of
-- Redis before the time at which something can be due.
local function reclaim_due(most)
  local moved = 0
  if C[LEASED] > 0 and now >= C[DUE_FROM] then
    local slots = call('ZRANGE', P .. 'due', '-inf', ('%d'):format(now), 'BYSCORE', 'LIMIT', '0', most)
    for _, slot in ipairs(slots) do
      local r = record_of(slot)
      if r[HAD] and (tonumber(r[UNTIL]) or 0) > now then
        call('ZADD', P .. 'due', r[UNTIL], slot)
      else
        if r[HAD] then
          expire(r)
        end
        -- Whoever was silent that long is taken for dead, and is remembered no more.
        call('HDEL', P .. 'slot', slot)
        call('ZREM', P .. 'due', slot)
      end
    end
    C[DUE_FROM] = math.min(head_of(P .. 'due'), now + C[VISIBILITY])
    moved = #slots
  end
  if C[DELAYED] > 0 and now >= C[DELAYED_FROM] and moved < most then
    local members = call('ZRANGE', P .. 'delayed', '-inf', ('%d'):format(now), 'BYSCORE', 'LIMIT', '0', most - moved)
    for _, member in ipairs(members) do
      local name, entry = member:match('^([^\n]+)\n(.*)$')
      call('ZREM', P .. 'delayed', member)
      if entry and entry:find(IS_ENTRY) then
        enqueue(name, entry, 'RPUSH')
      else
        bury_unreadable(name or '', entry or member, 'the entry cannot be read')
      end
    end
    C[DELAYED] = C[DELAYED] - #members
    C[DELAYED_FROM] = head_of(P .. 'delayed')
    moved = moved + #members
  end
  return moved
end
