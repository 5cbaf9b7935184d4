-- core: what belongs to one call; the shard's counters, read once and written once per call, and its virtual clock.
-- The server keeps the functions from call to call. What must not outlive one is declared without a value, as here:
-- each call begins with none of it. A script calls `begin`, changes C, and the tallies T, and ends with `save`; who
-- needs a tally calls `tallies` before, and there is none without. Large numbers are given to Redis as text: it prints
-- them slowly.
local NEVER = 9e15
-- Given: keys, arguments, and redis.call.
local KEYS, ARGV, call
-- Begun: what all keys of the shard begin with, counters, tallies, the time, the sites that were looked at.
local P, C, T, now, micros, sites

-- Virtual time: advances with the server's by at most STEP per observation, never goes back. So neither
-- an outage nor a jump of the machine's clock expires every lease at once. While no node works on the crawl, and nothing
-- is leased, all of the time passes: a site that is to be left alone for a day is not left alone for a day of runs.
local function tick()
  now = tonumber(ARGV[1])
  if now then
    now = math.max(C[NOW], now)
    micros = now * 1000
  else
    local t = call('TIME')
    micros = t[1] * 1000000 + t[2]
    local real = (micros - micros % 1000) / 1000
    local passed = real - C[REAL]
    if passed > C[STEP] and (C[LEASED] > 0 or call('ZCARD', P .. 'nodes') > 0) then
      passed = C[STEP]
    end
    now = C[NOW] + (passed < 0 and 0 or passed)
    C[REAL] = real
  end
  C[NOW] = now
end

local function begin()
  local stored = call('GETRANGE', KEYS[1], '0', COMMON_ENDS)
  if stored == '' then
    error(redis.error_reply('NOCRAWL no crawl is kept under ' .. KEYS[1]))
  end
  P, C, sites = KEYS[1]:sub(1, -4), { struct.unpack(COMMON_LAYOUT, stored) }, {}
  tick()
end

local function tallies()
  T = T or { struct.unpack(TALLY_LAYOUT, call('GETRANGE', KEYS[1], TALLIES_FROM, '-1')) }
end

local function save()
  call('SETRANGE', KEYS[1], '0', struct.pack(CHANGING_LAYOUT, unpack(C, 1, CHANGING_COUNT)))
  if T then
    call('SETRANGE', KEYS[1], TALLIES_FROM, struct.pack(TALLY_LAYOUT, unpack(T, 1, TALLY_COUNT)))
  end
end

local function head_of(key)
  return tonumber(call('ZRANGE', key, '0', '0', 'WITHSCORES')[2]) or NEVER
end
