-- core: the shard's counters, read once and written once per call, and its virtual clock.
-- A script changes C and ends with `save`.
local P = KEYS[1]:sub(1, -4)
local C = redis.call('GET', KEYS[1])
if not C then
  return redis.error_reply('NOCRAWL no crawl is kept under ' .. KEYS[1])
end
C = { struct.unpack(LAYOUT, C) }

-- Virtual time: advances with the server's by at most STEP per observation, never goes back. So neither
-- an outage nor a jump of the machine's clock expires every lease at once.
local now, micros = tonumber(ARGV[1]), nil
if now then
  now = math.max(C[NOW], now)
  micros = now * 1000
else
  local t = redis.call('TIME')
  local real = t[1] * 1000 + math.floor(t[2] / 1000)
  micros = t[1] * 1000000 + t[2]
  now = C[NOW] + math.max(0, math.min(real - C[REAL], C[STEP]))
  C[REAL] = real
end
C[NOW] = now
-- Redis prints a large number that it is handed much more slowly than Lua does.
local now_text = ('%d'):format(now)

-- What is behind CHANGING was settled when the crawl was made.
local function save()
  redis.call('SETRANGE', KEYS[1], '0', struct.pack(CHANGING_LAYOUT, unpack(C, 1, CHANGING)))
end
