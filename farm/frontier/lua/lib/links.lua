-- links: deduplicate and enqueue, in one go with whatever else the script does.
-- A link or a seed is id, band, site, newline, payload. One whose site lives in another shard has that shard's
-- number between angle brackets before it, and goes to the outbox; `deliver` takes it from there. A bare id there is
-- a fingerprint that the other shard is to know. Nothing is written before all are checked.
local IS_FOREIGN = '^<%d+>%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x'
local LESS_THAN, ZERO, NINE, BRACKET = 60, 48, 57, 91

-- Of each link that stays: the part of its id that the exact set keeps.
local rests = {}

local function links_are_sound(first, last)
  local find, byte, sub, tonumber = string.find, string.byte, string.sub, tonumber
  for i = first, last do
    local link = ARGV[i]
    local rest, band, break_at = tonumber(sub(link, 4, 16), 16), byte(link, 17) or 0, find(link, '\n', 18, true) or 0
    local is_entry = break_at > 18 and byte(link, break_at + 1) == BRACKET
    if rest and is_entry and tonumber(sub(link, 1, 3), 16) and band >= ZERO and band <= NINE then
      rests[i] = rest
    elseif C[SHARDS] == 1 or not find(link, IS_FOREIGN) then
      return false
    end
  end
  return true
end

local function accept_links(first, last)
  tallies()
  local accepted, foreign, folds = 0, 0, round_of()
  for i = first, last do
    local link = ARGV[i]
    if C[SHARDS] > 1 and link:byte() == LESS_THAN then
      local shard, rest = link:match('^<(%d+)>(.*)$')
      redis.call('RPUSH', P .. 'outbox:' .. shard, rest)
      foreign = foreign + 1
    elseif remember(link, folds, rests[i]) then
      local break_at = link:find('\n', 18, true)
      enqueue(link:sub(18, break_at - 1), link:sub(1, 17) .. link:sub(break_at + 1), 'RPUSH')
      accepted = accepted + 1
    end
  end
  C[ACCEPTED] = C[ACCEPTED] + accepted
  C[DUPLICATES] = C[DUPLICATES] + last - first + 1 - accepted - foreign
  C[OUTBOX] = C[OUTBOX] + foreign
  if accepted > 0 then
    grow_seen()
  end
  return accepted
end
