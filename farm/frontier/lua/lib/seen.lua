-- seen: which fingerprints are known, exact to 2^-64, about 10 bytes each.
-- The top 12 bits and, as the set grows, low bits of the other 52 choose a bucket; the bucket holds those
-- 52 bits as integers, so Redis keeps it as an intset. Linear hashing splits one bucket at a time, which
-- keeps every bucket below the server's set-max-intset-entries (512 by default). A bucket is named by its top
-- bits in hex and, once split, by the low ones.
local FILL, FIRST_BUCKETS = 200, 4096
local IS_ID = '^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x'

-- How many parts every bucket was split into when the current round of splitting began.
local function round_of()
  local folds = 1
  while FIRST_BUCKETS * folds * 2 <= T[BUCKETS] do
    folds = folds * 2
  end
  return folds
end

local function bucket_name(top, part)
  return P .. 'seen:' .. (part == 0 and top or top .. ':' .. part)
end

-- The bucket of a fingerprint and what stands for it there; `folds` is of `round_of`. What is no fingerprint is in
-- no bucket.
local function bucket_of(id, folds)
  local top, rest = id:sub(1, 3), tonumber(id:sub(4, 16), 16)
  local number = T[BUCKETS] > FIRST_BUCKETS and tonumber(top, 16)
  if not rest or number == nil then
    return P .. 'seen:', ''
  elseif not number then
    -- No bucket was split yet.
    return P .. 'seen:' .. top, ('%d'):format(rest)
  end
  local part = rest % folds
  if number + FIRST_BUCKETS * part < T[BUCKETS] - FIRST_BUCKETS * folds then
    part = rest % (folds * 2)
  end
  return bucket_name(top, part), ('%d'):format(rest)
end

-- Whether a fingerprint, or what a link has in its place, is known.
local function is_known(id, folds)
  if C[DEDUP] == 0 then
    return call('SISMEMBER', bucket_of(id, folds)) == 1
  end
  return id:find(IS_ID) and is_in_bloom(id:sub(1, 16), false)
end

-- Remember a fingerprint; true when it was not known.
local function remember(id, folds)
  if C[DEDUP] == 0 then
    return call('SADD', bucket_of(id, folds)) == 1
  end
  return not is_in_bloom(id:sub(1, 16), true)
end

-- Redis refuses more than some thousand arguments, and Lua more than 8,000 values at once.
local CHUNK = 1000

local function grow_seen()
  while C[DEDUP] == 0 and T[ACCEPTED] + T[SEEN] + T[DROPPED] > FILL * T[BUCKETS] do
    local folds = round_of()
    local address = T[BUCKETS] - FIRST_BUCKETS * folds
    local top, part = ('%03x'):format(address % FIRST_BUCKETS), math.floor(address / FIRST_BUCKETS)
    local from, to = bucket_name(top, part), bucket_name(top, part + folds)
    local moved = {}
    for _, member in ipairs(call('SMEMBERS', from)) do
      if tonumber(member) % (folds * 2) ~= part then
        moved[#moved + 1] = member
      end
    end
    for i = 1, #moved, CHUNK do
      local last = math.min(i + CHUNK - 1, #moved)
      call('SADD', to, unpack(moved, i, last))
      call('SREM', from, unpack(moved, i, last))
    end
    T[BUCKETS] = T[BUCKETS] + 1
  end
end
