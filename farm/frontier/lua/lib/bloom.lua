-- bloom: which fingerprints are known, at 2.75 bytes each; about one in 20,000 unknown ones is taken for known.
-- A blocked Bloom filter: a fingerprint sets 13 bits of one block of 128 bytes, so that a look-up is one GETRANGE. The
-- blocks lie in strings that fit the allocator's 16 KiB class. When a generation is full the next one, twice as
-- large, takes what is new, and a look-up goes through all of them. Where the server has BF.*, that is used instead.
local BLOCK_BYTES, BLOCKS_PER_STRING, BITS_PER_ID, HASHES = 128, 127, 22, 13
local BLOCK_BITS, LEHMER, PRIME = 1024, 16807, 2147483647
local BY_SERVER = 2

local function is_in_block(block, seed)
  local state = seed
  for _ = 1, HASHES do
    state = state * LEHMER % PRIME
    local place = state % BLOCK_BITS
    local byte = block:byte(math.floor(place / 8) + 1) or 0
    if math.floor(byte / 2 ^ (place % 8)) % 2 == 0 then
      return false
    end
  end
  return true
end

local function with_bits(block, seed)
  local bytes, state = { block:byte(1, BLOCK_BYTES) }, seed
  for i = #bytes + 1, BLOCK_BYTES do
    bytes[i] = 0
  end
  for _ = 1, HASHES do
    state = state * LEHMER % PRIME
    local place = state % BLOCK_BITS
    local at, mask = math.floor(place / 8) + 1, 2 ^ (place % 8)
    if math.floor(bytes[at] / mask) % 2 == 0 then
      bytes[at] = bytes[at] + mask
    end
  end
  return string.char(unpack(bytes))
end

-- Whether a fingerprint is known; where it is not and `adds`, it is from now on.
local function is_in_bloom(id, adds)
  if C[DEDUP] == BY_SERVER then
    if adds then
      return call('BF.ADD', P .. 'bloom', id) == 0
    end
    return call('BF.EXISTS', P .. 'bloom', id) == 1
  end
  local high, low = tonumber(id:sub(1, 8), 16), tonumber(id:sub(9, 16), 16)
  -- Park and Miller's generator makes the places; its seed must not be 0, nor depend on the block alone.
  local seed = low % (PRIME - 1) + 1
  if adds and T[BLOOM_ROOM] <= 0 then
    T[BLOOM_ROOM] = C[CAPACITY] * 2 ^ T[GENERATIONS]
    T[GENERATIONS] = T[GENERATIONS] + 1
  end
  local key, from, block
  for generation = 0, T[GENERATIONS] - 1 do
    local blocks = math.ceil(C[CAPACITY] * 2 ^ generation * BITS_PER_ID / BLOCK_BITS)
    local chosen = math.floor(high / 4294967296 * blocks)
    key = P .. 'bloom:' .. generation .. ':' .. math.floor(chosen / BLOCKS_PER_STRING)
    from = chosen % BLOCKS_PER_STRING * BLOCK_BYTES
    block = call('GETRANGE', key, from, from + BLOCK_BYTES - 1)
    if is_in_block(block, seed) then
      return true
    end
  end
  if adds then
    -- `key` is the newest generation's: the only one that takes anything.
    if block == '' then
      -- Whole at once: a string that grows is given twice its size.
      call('SETRANGE', key, BLOCK_BYTES * BLOCKS_PER_STRING - 1, string.char(0))
    end
    call('SETRANGE', key, from, with_bits(block, seed))
    T[BLOOM_ROOM] = T[BLOOM_ROOM] - 1
  end
  return false
end
