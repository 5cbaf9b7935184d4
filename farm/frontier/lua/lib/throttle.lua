-- throttle: whether a way out (an egress address) may visit a site now, and what a visit costs.
-- Four levels: the site, the pair of site and address, the address, everything. A level's limit of 0 means
-- none. The spacing is never shorter than asked, and up to a fifth longer, so that it is not metronomic; where
-- visits are saved up it is exact, or the jitter would eat them.

-- When the pair of site and address is eligible; NEVER while all of its places are taken.
local function pair_at(s, out)
  if out == '' then
    return 0
  end
  local v = redis.call('HMGET', P .. 'site:' .. s[NAME], 'x@' .. out, 't@' .. out, 'f@' .. out)
  if C[PAIR_LIMIT] > 0 and (tonumber(v[3]) or 0) >= C[PAIR_LIMIT] then
    return NEVER
  end
  return math.max(tonumber(v[1]) or 0, tonumber(v[2]) or 0)
end

-- How far apart the visits to a site by one address are: as the terms have it, or as was learnt.
local function pair_spacing(s, out)
  return math.max(C[PAIR_INTERVAL], tonumber(redis.call('HGET', P .. 'site:' .. s[NAME], 'i@' .. out)) or 0)
end

-- When everything, and this address, is eligible.
local function overall_at(out)
  local at = C[ALL_INTERVAL] > 0 and C[TAT] or 0
  if C[ALL_LIMIT] > 0 and C[LEASED] >= C[ALL_LIMIT] then
    at = NEVER
  end
  if out ~= '' then
    local v = redis.call('HMGET', P .. 'out:' .. out, 't', 'f')
    if C[OUT_LIMIT] > 0 and (tonumber(v[2]) or 0) >= C[OUT_LIMIT] then
      at = NEVER
    end
    at = math.max(at, tonumber(v[1]) or 0)
  end
  return at
end

local function spend(s, out, jitter)
  local wide = 1 + 0.2 * jitter
  s[FLYING] = s[FLYING] + 1
  s[ARRIVAL] = math.max(s[ARRIVAL], now) + math.floor(s[SPACING] * (s[SAVED_UP] > 1 and 1 or wide))
  s[MOVED] = true
  if C[ALL_INTERVAL] > 0 then
    C[TAT] = math.max(C[TAT], now) + math.floor(C[ALL_INTERVAL] * wide)
  end
  if out ~= '' then
    local pair, way = P .. 'site:' .. s[NAME], P .. 'out:' .. out
    redis.call('HINCRBY', pair, 'f@' .. out, 1)
    redis.call('HINCRBY', way, 'f', 1)
    local apart = pair_spacing(s, out)
    if apart > 0 then
      local from = math.max(tonumber(redis.call('HGET', pair, 't@' .. out)) or 0, now)
      redis.call('HSET', pair, 't@' .. out, ('%d'):format(from + apart * wide))
    end
    if C[OUT_INTERVAL] > 0 then
      local from = math.max(tonumber(redis.call('HGET', way, 't')) or 0, now)
      redis.call('HSET', way, 't', ('%d'):format(from + C[OUT_INTERVAL] * wide))
    end
  end
end
