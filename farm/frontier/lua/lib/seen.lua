-- seen: which fingerprints are known, exact to 2^-64, about 10 bytes each.
-- The top 12 bits and, as the set grows, low bits of the other 52 choose a bucket; the bucket holds those
-- 52 bits as integers, so Redis keeps it as an intset. Linear hashing splits one bucket at a time, which
-- keeps every bucket below the server's set-max-intset-entries (512 by default). A bucket is named by its top
-- bits in hex and, once split, by the low ones.
-- A fingerprint is given in both of its forms: the 52 bits as the bucket holds them, in 16 decimal digits (bit 52 is
-- set, so that there are as many), then all 64 as the id, in 16 hex digits. Turning one into the other here was a third
-- of what looking up a link costs.
-- Uses: bloom (is_in_bloom)
local FILL, FIRST_BUCKETS = 200, 4096
local IS_FINGERPRINT, BEYOND = '^%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x', 4503599627370496

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

-- The fingerprint of an id.
local function fingerprint_of(id)
  return ('%d'):format(BEYOND + tonumber(id:sub(4), 16)) .. id
end

-- The bucket of a fingerprint and what stands for it there; `folds` is of `round_of`. What is no fingerprint is in
-- no bucket.
local function bucket_of(fingerprint, folds)
  local member, top = fingerprint:sub(1, 16), fingerprint:sub(17, 19)
  if T[BUCKETS] <= FIRST_BUCKETS then
    -- None was split yet.
    return P .. 'seen:' .. top, member
  end
  local rest, number = tonumber(member), tonumber(top, 16)
  if not rest or not number then
    return P .. 'seen:', ''
  end
  local part = rest % folds
  if number + FIRST_BUCKETS * part < T[BUCKETS] - FIRST_BUCKETS * folds then
    part = rest % (folds * 2)
  end
  return bucket_name(top, part), member
end

-- Whether a fingerprint, or what a link has in its place, is known.
local function is_known(fingerprint, folds)
  if C[DEDUP] == 0 then
    return call('SISMEMBER', bucket_of(fingerprint, folds)) == 1
  end
  return fingerprint:find(IS_FINGERPRINT) and is_in_bloom(fingerprint:sub(17, 32), false)
end

-- Remember a fingerprint; true when it was not known.
local function remember(fingerprint, folds)
  if C[DEDUP] == 0 then
    return call('SADD', bucket_of(fingerprint, folds)) == 1
  end
  return not is_in_bloom(fingerprint:sub(17, 32), true)
end

-- Forget a fingerprint, where the filter can: false where it stays known.
local function forget(fingerprint, folds)
  if C[DEDUP] == 0 then
    return call('SREM', bucket_of(fingerprint, folds)) == 1
  end
  return false
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
