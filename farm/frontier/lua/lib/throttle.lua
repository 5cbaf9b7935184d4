-- throttle: when a visit may begin, and what it costs.
-- Four levels: the site, the pair of site and address, the address, everything. A level's limit of 0 means
-- none. The spacing is never shorter than asked, and up to a fifth longer, so that it is not metronomic; where
-- visits are saved up it is exact, or the jitter would eat them.
-- Uses: addresses (address_at, spend_address)

-- When everything, and this address, is eligible.
local function overall_at(out)
  local at = C[ALL_INTERVAL] > 0 and C[TAT] or 0
  if C[ALL_LIMIT] > 0 and C[LEASED] >= C[ALL_LIMIT] then
    at = NEVER
  end
  return out == '' and at or math.max(at, address_at(out))
end

local function spend(s, out, jitter, moves)
  local wide = 1 + 0.2 * jitter
  s[FLYING] = s[FLYING] + 1
  s[ARRIVAL] = s[ARRIVAL] > now and s[ARRIVAL] or now
  if s[SPACING] > 0 then
    s[ARRIVAL] = s[ARRIVAL] + math.floor(s[SPACING] * (s[SAVED_UP] > 1 and 1 or wide))
  end
  s[MOVED] = s[MOVED] or moves
  if C[ALL_INTERVAL] > 0 then
    C[TAT] = math.max(C[TAT], now) + math.floor(C[ALL_INTERVAL] * wide)
    if C[SHARDS] > 1 then
      -- What a lender goes by.
      call('HINCRBY', P .. 'lending', 'leases', 1)
    end
  end
  if out ~= '' then
    spend_address(s, out, wide)
  end
end
