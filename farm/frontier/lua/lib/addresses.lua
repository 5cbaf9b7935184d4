-- addresses: whether an egress address may visit a site now, and what a visit costs it.

-- When the pair of site and address is eligible; NEVER while all of its places are taken.
local function pair_at(s, out)
  local v = call('HMGET', P .. 'site:' .. s[NAME], 'x@' .. out, 't@' .. out, 'f@' .. out)
  if C[PAIR_LIMIT] > 0 and (tonumber(v[3]) or 0) >= C[PAIR_LIMIT] then
    return NEVER
  end
  return math.max(tonumber(v[1]) or 0, tonumber(v[2]) or 0)
end

-- Blocks a site for one address; a longer block stays.
local function block_address(name, out, until_ms)
  local key, field = P .. 'site:' .. name, 'x@' .. out
  call('HSET', key, field, ('%d'):format(math.max(tonumber(call('HGET', key, field)) or 0, until_ms)))
end

-- When the address itself is.
local function address_at(out)
  local v = call('HMGET', P .. 'out:' .. out, 't', 'f')
  if C[OUT_LIMIT] > 0 and (tonumber(v[2]) or 0) >= C[OUT_LIMIT] then
    return NEVER
  end
  return tonumber(v[1]) or 0
end

-- How far apart the visits to a site by one address are: as the terms have it, or as was learnt.
local function pair_spacing(s, out)
  return math.max(C[PAIR_INTERVAL], tonumber(call('HGET', P .. 'site:' .. s[NAME], 'i@' .. out)) or 0)
end

local function spend_address(s, out, wide)
  local pair, way = P .. 'site:' .. s[NAME], P .. 'out:' .. out
  call('HINCRBY', pair, 'f@' .. out, 1)
  call('HINCRBY', way, 'f', 1)
  local apart = pair_spacing(s, out)
  if apart > 0 then
    local from = math.max(tonumber(call('HGET', pair, 't@' .. out)) or 0, now)
    call('HSET', pair, 't@' .. out, ('%d'):format(from + apart * wide))
  end
  if C[OUT_INTERVAL] > 0 then
    local from = math.max(tonumber(call('HGET', way, 't')) or 0, now)
    call('HSET', way, 't', ('%d'):format(from + C[OUT_INTERVAL] * wide))
  end
end
