-- links: deduplicate and enqueue, in one go with whatever else the script does.
-- A link or a seed is id, band, site, newline, payload. One whose site lives in another shard has that shard's
-- number between angle brackets before it, and goes to the outbox; `deliver` takes it from there. A bare id there is
-- a fingerprint that the other shard is to know. Nothing is written before all are checked.
local IS_LINK = '^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%d[^\n]+\n%['
local IS_FOREIGN = '^<%d+>%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x'
local LESS_THAN = 60

local function links_are_sound(first, last)
  local find = string.find
  for i = first, last do
    local link = ARGV[i]
    if not find(link, IS_LINK) and not (C[SHARDS] > 1 and find(link, IS_FOREIGN)) then
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
    elseif remember(link, folds) then
      local break_at = link:find('\n', 18, true)
      enqueue(link:sub(18, break_at - 1), link:sub(1, 17) .. link:sub(break_at + 1), 'RPUSH')
      accepted = accepted + 1
    end
  end
  T[ACCEPTED] = T[ACCEPTED] + accepted
  T[DUPLICATES] = T[DUPLICATES] + last - first + 1 - accepted - foreign
  C[OUTBOX] = C[OUTBOX] + foreign
  if accepted > 0 then
    grow_seen()
  end
  return accepted
end
