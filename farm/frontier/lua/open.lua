#!lua
-- Purpose:   create the crawl, or say what it was created with.
-- Guarantee: of many nodes that open a crawl at once, one creates it and all see the same settings.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 settings as JSON · 3 schema · 4 fingerprint key in hex
--            5 created at · 6.. all counters in their order
-- Returns:   {1 when created, 0 when found, schema, settings, key, created at, shards}
local ctl = KEYS[1]
local crawl = string.sub(ctl, 1, -4) .. 'crawl'
local created = 0
if call('EXISTS', crawl) == 0 then
  local now = tonumber(ARGV[1])
  if not now then
    local t = call('TIME')
    now = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  local counters = { now, now }
  for i = 8, #ARGV do
    counters[i - 5] = tonumber(ARGV[i])
  end
  -- First, for it may be denied: what is added to a filter that nobody made gets a small one, wrong once in a hundred.
  if counters[DEDUP] == BY_SERVER then
    call('BF.RESERVE', string.sub(ctl, 1, -4) .. 'bloom', '0.0001', counters[CAPACITY], 'EXPANSION', '2')
  end
  call('SET', ctl, struct.pack(COMMON_LAYOUT, unpack(counters, 1, COMMON_COUNT))
    .. struct.pack(TALLY_LAYOUT, unpack(counters, COMMON_COUNT + 1)))
  call('HSET', crawl, 'schema', ARGV[3], 'settings', ARGV[2], 'key', ARGV[4], 'created_at', ARGV[5], 'shards', ARGV[5 + SHARDS])
  created = 1
end
return { created, unpack(call('HMGET', crawl, 'schema', 'settings', 'key', 'created_at', 'shards')) }
