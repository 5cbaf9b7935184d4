-- core: the shard's counters, read once and written once per call, and its virtual clock.
-- The counters are one string of doubles: reading forty fields of a hash would cost more than the rest of a
-- lease. A script changes C and ends with `save`.
-- Names in capitals are constants, put in place when a script is composed: Lua would otherwise pay for every
-- one of them, in every function that uses it, at every call.
local REAL, NOW, TOKEN, ACCEPTED, DELAYED, LEASED, DONE, DEAD = 1, 2, 3, 4, 5, 6, 7, 8
local RENDERED, DUPLICATES, SEEN, DROPPED, EXPIRED, RETRIED, SITES = 9, 10, 11, 12, 13, 14, 15
local TURN, BUCKETS, TAT, DUE_FROM, DELAYED_FROM, STATE, DEDUP, SHARD, SHARDS = 16, 17, 18, 19, 20, 21, 22, 23, 24
local VISIBILITY, STEP, LIVES, RUN, INTERVAL, BURST, LIMIT = 25, 26, 27, 28, 29, 30, 31
local ALL_INTERVAL, ALL_LIMIT, PAIR_INTERVAL, PAIR_LIMIT, OUT_INTERVAL, OUT_LIMIT = 32, 33, 34, 35, 36, 37
local OUTBOX, ALLOWED, LENT, CAPACITY, GENERATIONS, BLOOM_ROOM = 48, 49, 50, 51, 52, 53
local Q, COUNTERS = 38, 56
local LAYOUT = '<dddddddddddddddddddddddddddddddddddddddddddddddddddddddd'

local call, floor, max, min = redis.call, math.floor, math.max, math.min
local P = KEYS[1]:sub(1, -4)
local C = call('GET', KEYS[1])
if not C then
  return redis.error_reply('NOCRAWL no crawl is kept under ' .. KEYS[1])
end
C = { struct.unpack(LAYOUT, C) }

-- Virtual time: advances with the server's by at most STEP per observation, never goes back. So neither
-- an outage nor a jump of the machine's clock expires every lease at once.
local now, micros = tonumber(ARGV[1]), nil
if now then
  now = max(C[NOW], now)
  micros = now * 1000
else
  local t = call('TIME')
  local real = t[1] * 1000 + floor(t[2] / 1000)
  micros = t[1] * 1000000 + t[2]
  now = C[NOW] + max(0, min(real - C[REAL], C[STEP]))
  C[REAL] = real
end
C[NOW] = now
-- Redis prints a large number that it is handed much more slowly than Lua does.
local now_text = ('%d'):format(now)

local function save()
  call('SET', KEYS[1], struct.pack(LAYOUT, unpack(C, 1, COUNTERS)))
end
