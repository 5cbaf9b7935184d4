-- core: the shard's counters, read once and written once per call, and its virtual clock.
-- A counter is changed only through `bump` and `put`; `save` writes the changed ones in one HSET.
local call, sub, find, match = redis.call, string.sub, string.find, string.match
local format, floor, max, min = string.format, math.floor, math.max, math.min
local ctl = KEYS[1]
local P = sub(ctl, 1, -4)

local NAMES = {
  'real', 'now', 'tok', 'accepted', 'delayed', 'leased', 'done', 'dead', 'rendered', 'duplicates',
  'seen', 'dropped', 'expired', 'retried', 'sites', 'turn', 'buckets', 'tat',
  'vis', 'step', 'lives', 'run', 'iv', 'burst', 'lim', 'giv', 'glim', 'shards',
  'q0', 'q1', 'q2', 'q3', 'q4', 'q5', 'q6', 'q7', 'q8', 'q9',
  'state', 'dedup',
}
local C, changed = {}, {}
do
  local values = call('HMGET', ctl, unpack(NAMES))
  if not values[2] then
    return redis.error_reply('NOCRAWL no crawl is kept under ' .. ctl)
  end
  for i, name in ipairs(NAMES) do
    C[name] = tonumber(values[i]) or values[i] or 0
  end
end

local function put(name, value)
  C[name] = value
  changed[name] = true
end

local function bump(name, by)
  C[name] = C[name] + by
  changed[name] = true
end

local function save()
  local pairs_, n = {}, 0
  for name in pairs(changed) do
    pairs_[n + 1], pairs_[n + 2] = name, C[name]
    n = n + 2
  end
  if n > 0 then
    call('HSET', ctl, unpack(pairs_))
  end
end

-- Virtual time: advances with the server's by at most `step` per observation, never goes back. So
-- neither an outage nor a jump of the machine's clock expires every lease at once.
local now, micros
if ARGV[1] == '' then
  local t = call('TIME')
  local real = t[1] * 1000 + floor(t[2] / 1000)
  micros = t[1] * 1000000 + t[2]
  now = C.now + max(0, min(real - C.real, C.step))
  if real ~= C.real then
    put('real', real)
  end
else
  now = max(C.now, tonumber(ARGV[1]))
  micros = now * 1000
end
if now ~= C.now then
  put('now', now)
end

local function next_token(nonce)
  put('tok', max(C.tok + 1, micros))
  return format('%.0f%s', C.tok, nonce)
end

local function queued()
  return C.q0 + C.q1 + C.q2 + C.q3 + C.q4 + C.q5 + C.q6 + C.q7 + C.q8 + C.q9
end
