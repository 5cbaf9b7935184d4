-- lease: which slot holds what, until when.
-- A slot has one record: its last settlement, its last request, and the lease that it holds. So a slot cannot
-- hold two leases, and a repeated call finds what it did the first time. When a lease ends stands in the record and
-- in the set of what is due, and the later counts: so a slot that goes from lease to lease stays where it is in the
-- set, and a lease that is renewed keeps its record.
-- Uses: failures (bury_unreadable), nodes (end_isolation), site (site)
local SETTLED, REQUEST, FENCE, AT, OUT, STAYED, UNTIL, ENTRY, HAD, SLOT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

-- Whether the slot holds the lease of this id and token.
local function holds(r, id, token)
  return r[FENCE] == token and token ~= '' and r[ENTRY]:sub(1, 16) == id
end

-- Stores what a settlement and a lease did to a slot.
local function store_slot(slot, r)
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
    if call('HINCRBY', P .. 'site:' .. r[AT], 'f@' .. out, -1) == 0 then
      -- The same as none: every pair of a site and an address would leave one.
      call('HDEL', P .. 'site:' .. r[AT], 'f@' .. out)
    end
    call('HINCRBY', P .. 'out:' .. out, 'f', -1)
  end
  if C[ALONE] > 0 then
    end_isolation(r[SLOT])
  end
  r[FENCE], r[OUT], r[UNTIL], r[ENTRY] = '', '', '', ''
  return s, entry
end

-- A record that no farm wrote must not stop the crawl: no call would get past it.
local function clear_away(slot, record)
  call('HDEL', P .. 'slot', slot)
  if call('ZREM', P .. 'due', slot) == 1 then
    local name, out = record:match('^%Z*%z%Z*%z%Z*%z(%Z+)%z(%Z*)%z')
    if name and site(name)[KNOWN] then
      release({ [AT] = name, [OUT] = out, [ENTRY] = '', [SLOT] = slot })
    else
      C[LEASED] = C[LEASED] - 1
      end_isolation(slot)
    end
    bury_unreadable('', record, 'the lease cannot be read')
  end
end

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
