-- seen: which fingerprints are known, exact to 2^-64, about 10 bytes each.
-- The top 12 bits and, as the set grows, low bits of the other 52 choose a bucket; the bucket holds those
-- 52 bits as integers, so Redis keeps it as an intset. Linear hashing splits one bucket at a time, which
-- keeps every bucket below the server's set-max-intset-entries (512 by default).
local FILL, FIRST_BUCKETS = 200, 4096
local level

local function bucket_of(top, rest)
  if not level then
    level = FIRST_BUCKETS
    while level * 2 <= C.buckets do
      level = level * 2
    end
  end
  local address = top + FIRST_BUCKETS * (rest % (level * 2 / FIRST_BUCKETS))
  local low = address % level
  if low < C.buckets - level then
    return address
  end
  return low
end

local function split_a_bucket()
  bucket_of(0, 0)
  local from, to = C.buckets - level, C.buckets
  local moved, top = {}, from % FIRST_BUCKETS
  put('buckets', C.buckets + 1)
  for _, member in ipairs(call('SMEMBERS', P .. 'seen:' .. format('%.0f', from))) do
    local address = top + FIRST_BUCKETS * (tonumber(member) % (level * 2 / FIRST_BUCKETS))
    if address == to then
      moved[#moved + 1] = member
    end
  end
  for i = 1, #moved, 1000 do
    local last = min(i + 999, #moved)
    call('SADD', P .. 'seen:' .. format('%.0f', to), unpack(moved, i, last))
    call('SREM', P .. 'seen:' .. format('%.0f', from), unpack(moved, i, last))
  end
  level = nil
end

-- Remember a fingerprint; true when it was not known.
local function remember(id)
  local rest = tonumber(sub(id, 4, 16), 16)
  local bucket = bucket_of(tonumber(sub(id, 1, 3), 16), rest)
  return call('SADD', P .. 'seen:' .. format('%.0f', bucket), rest) == 1
end

local function grow_seen()
  while C.accepted + C.seen + C.dropped > FILL * C.buckets do
    split_a_bucket()
  end
end
