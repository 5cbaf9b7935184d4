-- core: the shard's counters, read once and written once per call, and its virtual clock.
-- A script changes C, and the tallies T, and ends with `save`; who needs a tally calls `tallies` before, and there is
-- none without. Large numbers are given to Redis as text: it prints them slowly.
local NEVER = 9e15
local P = KEYS[1]:sub(1, -4)
local C = redis.call('GETRANGE', KEYS[1], '0', COMMON_ENDS)
if C == '' then
  return redis.error_reply('NOCRAWL no crawl is kept under ' .. KEYS[1])
end
C = { struct.unpack(COMMON_LAYOUT, C) }

-- Virtual time: advances with the server's by at most STEP per observation, never goes back. So neither
-- an outage nor a jump of the machine's clock expires every lease at once.
local now, micros = tonumber(ARGV[1]), nil
if now then
  now = math.max(C[NOW], now)
  micros = now * 1000
else
  local t = redis.call('TIME')
  micros = t[1] * 1000000 + t[2]
  local real = (micros - micros % 1000) / 1000
  local passed = real - C[REAL]
  now = C[NOW] + (passed < 0 and 0 or passed > C[STEP] and C[STEP] or passed)
  C[REAL] = real
end
C[NOW] = now

local T
local function tallies()
  T = T or { struct.unpack(TALLY_LAYOUT, redis.call('GETRANGE', KEYS[1], TALLIES_FROM, '-1')) }
end

local function save()
  redis.call('SETRANGE', KEYS[1], '0', struct.pack(CHANGING_LAYOUT, unpack(C, 1, CHANGING_COUNT)))
  if T then
    redis.call('SETRANGE', KEYS[1], TALLIES_FROM, struct.pack(TALLY_LAYOUT, unpack(T, 1, TALLY_COUNT)))
  end
end
