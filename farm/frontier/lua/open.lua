#!lua
-- Purpose:   create the crawl, or say what it was created with; or start it anew.
-- Guarantee: of many nodes that open a crawl at once, one creates it and all see the same settings; of many that start
--            the same generation anew, one does. From then on no call on the old generation finds its counters.
-- KEYS:      1 what every node of the crawl must know
-- ARGV:      1 own time in ms or '' · 2 settings as JSON · 3 schema · 4 fingerprint key in hex · 5 created at
--            6 the generation that is started anew, or '' · 7 the generation of the first shard, or '' in that itself
--            8 '1' when it is begun with handlers, '0' without, '' where that is not said
--            9.. all counters in their order
-- Returns:   {1 when created, 0 when found, schema, settings, key, created at, shards, generation, handlers}
local crawl = KEYS[1]
local shard = crawl:sub(1, -6)
local exists = call('EXISTS', crawl) == 1
local current = exists and call('HGET', crawl, 'generation') or nil
local created, generation = 0, ARGV[7]
if generation ~= '' and current and current > generation then
  return redis.error_reply('NOCRAWL a later crawl is kept under ' .. crawl)
end
if not exists or current and (ARGV[6] == current or generation ~= '' and generation ~= current) then
  local now = tonumber(ARGV[1])
  if not now then
    local t = call('TIME')
    now = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  if generation == '' then
    generation = ('%011x'):format(math.max(now, current and tonumber(current, 16) + 1 or 0))
  end
  local counters, keys = { now, now }, shard .. generation .. ':'
  for i = 11, #ARGV do
    counters[i - 8] = tonumber(ARGV[i])
  end
  -- First, since it may be denied: an item added to a filter that was not reserved makes a small one, wrong once in 100.
  if counters[DEDUP] == BY_SERVER then
    call('BF.RESERVE', keys .. 'bloom', '0.0001', counters[CAPACITY], 'EXPANSION', '2')
  end
  if current then
    call('DEL', shard .. current .. ':ctl')
  end
  call('SET', keys .. 'ctl', struct.pack(COMMON_LAYOUT, unpack(counters, 1, COMMON_COUNT))
    .. struct.pack(TALLY_LAYOUT, unpack(counters, COMMON_COUNT + 1)))
  call('HSET', crawl, 'schema', ARGV[3], 'settings', ARGV[2], 'key', ARGV[4], 'created_at', ARGV[5],
    'shards', ARGV[8 + SHARDS], 'generation', generation,
    -- With the generation: a farm that does not know the field leaves that of an earlier crawl.
    'handlers', generation .. ARGV[8])
  created = 1
end
return { created,
  unpack(call('HMGET', crawl, 'schema', 'settings', 'key', 'created_at', 'shards', 'generation', 'handlers')) }
