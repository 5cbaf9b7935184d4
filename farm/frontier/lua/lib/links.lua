-- links: deduplicate and enqueue, in one go with whatever else the script does.
-- A link or a seed is fingerprint, band, site, newline, payload. One whose site lives in another shard has that shard's
-- number between angle brackets before it, and goes to the outbox; `deliver` takes it from there. A bare fingerprint
-- there is one that the other shard is to know. Nothing is written before all are looked at; those that are known, most
-- of a page's, are looked at no closer.
-- Uses: bounds (may_queue, shorten), core (tallies), queue (enqueue), seen (round_of, is_known, remember, grow_seen)
local IS_LINK = '^%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%d[^\n]+\n%['
local IS_FOREIGN = '^<%d+>%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x'
local LESS_THAN = 60

-- Which of the arguments are not known here, and which are no links; nil in place of none of these.
local function new_links(first, last)
  tallies()
  local news, invalid, folds = {}, nil, round_of()
  for i = first, last do
    local link = ARGV[i]
    if not is_known(link, folds) then
      if not link:find(IS_LINK) and not (C[SHARDS] > 1 and link:find(IS_FOREIGN)) then
        invalid = invalid or {}
        invalid[#invalid + 1] = link
      else
        news[#news + 1] = link
      end
    end
  end
  return news, invalid
end

-- Takes the news among so many links.
local function accept_links(news, given)
  local accepted, foreign, left_out, folds = 0, 0, 0, round_of()
  for _, link in ipairs(news) do
    if link:byte() == LESS_THAN then
      local shard, rest = link:match('^<(%d+)>(.*)$')
      call('RPUSH', P .. 'outbox:' .. shard, rest)
      foreign = foreign + 1
    else
      local break_at = link:find('\n', 34, true)
      local name = link:sub(34, break_at - 1)
      if not may_queue(name, link, folds) then
        left_out = left_out + (is_known(link, folds) and 0 or 1)
      elseif remember(link, folds) then
        local length = enqueue(name, link:sub(17, 33) .. link:sub(break_at + 1), 'RPUSH')
        if length > C[SITE_QUEUED] and C[SITE_QUEUED] > 0 then
          shorten(name, link, folds)
          left_out = left_out + 1
        else
          accepted = accepted + 1
        end
      end
    end
  end
  T[LEFT_OUT] = math.min(T[LEFT_OUT] + left_out, MOST_COUNTED)
  T[ACCEPTED] = T[ACCEPTED] + accepted
  T[DUPLICATES] = math.min(T[DUPLICATES] + given - accepted - foreign - left_out, MOST_COUNTED)
  C[OUTBOX] = C[OUTBOX] + foreign
  if accepted > 0 then
    grow_seen()
  end
  return accepted
end
