-- seen: which fingerprints are known, exact to 2^-64, about 10 bytes each.
-- The top 12 bits and, as the set grows, low bits of the other 52 choose a bucket; the bucket holds those
-- 52 bits as integers, so Redis keeps it as an intset. Linear hashing splits one bucket at a time, which
-- keeps every bucket below the server's set-max-intset-entries (512 by default).
local FILL, FIRST_BUCKETS = 200, 4096

-- The number of buckets before the current round of splitting, as a multiple of the first.
local function round_of()
  local folds = 1
  while FIRST_BUCKETS * folds * 2 <= C[BUCKETS] do
    folds = folds * 2
  end
  return folds
end

-- Ask the exact set with SADD or SISMEMBER; the reply is theirs. `folds` is of `round_of`.
local function ask_set(command, id, folds)
  local rest = tonumber(id:sub(4, 16), 16)
  local top = tonumber(id:sub(1, 3), 16)
  local bucket = top + FIRST_BUCKETS * (rest % folds)
  if bucket < C[BUCKETS] - FIRST_BUCKETS * folds then
    bucket = top + FIRST_BUCKETS * (rest % (folds * 2))
  end
  return call(command, P .. 'seen:' .. bucket, ('%.0f'):format(rest))
end

-- Remember a fingerprint; true when it was not known.
local function remember(id, folds)
  if C[DEDUP] > 0 then
    return not is_in_bloom(id, true)
  end
  return ask_set('SADD', id, folds) == 1
end

-- Redis refuses more than some thousand arguments, and Lua more than 8,000 values at once.
local CHUNK = 1000

local function grow_seen()
  while C[DEDUP] == 0 and C[ACCEPTED] + C[SEEN] + C[DROPPED] > FILL * C[BUCKETS] do
    local folds = round_of()
    local from, to = C[BUCKETS] - FIRST_BUCKETS * folds, C[BUCKETS]
    local moved = {}
    for _, member in ipairs(call('SMEMBERS', P .. 'seen:' .. from)) do
      if from % FIRST_BUCKETS + FIRST_BUCKETS * (tonumber(member) % (folds * 2)) == to then
        moved[#moved + 1] = member
      end
    end
    for i = 1, #moved, CHUNK do
      local last = min(i + CHUNK - 1, #moved)
      call('SADD', P .. 'seen:' .. to, unpack(moved, i, last))
      call('SREM', P .. 'seen:' .. from, unpack(moved, i, last))
    end
    C[BUCKETS] = to + 1
  end
end
