#!lua flags=allow-oom
-- Purpose:   take dead letters back into their queues (replay), or forget them for good (drop).
-- Guarantee: a replayed URL starts with all its attempts; a dropped one stays known, so that no link brings it
--            back; an id that is not dead is passed over; what cannot be read is dropped at most; a repetition moves
--            nothing and says the same.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 replay | drop · 3 the call's own id, for its repetitions · 4.. ids
-- Returns:   how many, or an error BADARG
begin()
-- A letter that cannot be read does not say under which reason it is listed.
local function unlist(id, reason)
  local reasons = reason and call('ZSCORE', P .. 'dead:' .. reason, id) and { reason } or call('HKEYS', P .. 'tally')
  for _, listed in ipairs(reasons) do
    if call('ZREM', P .. 'dead:' .. listed, id) == 1 then
      call('HINCRBY', P .. 'tally', listed, -1)
    end
  end
end

if ARGV[2] ~= 'replay' and ARGV[2] ~= 'drop' then
  return redis.error_reply('BADARG dead letters are replayed or dropped')
end
local once = P .. 'once:' .. ARGV[3]
local before = call('GET', once)
if before then
  return tonumber(before)
end
local moved = 0
tallies()
for i = 4, #ARGV do
  local letter = call('HGET', P .. 'dead', ARGV[i])
  if letter then
    local reason, name, entry = letter:match('^([^\n]*)\n[^\n]*\n[^\n]*\n([^\n]*)\n(.*)$')
    local readable = entry and name ~= '' and entry:find(IS_ENTRY)
    if ARGV[2] == 'drop' or readable then
      call('HDEL', P .. 'dead', ARGV[i])
      call('HDEL', P .. 'failed', ARGV[i])
      unlist(ARGV[i], reason)
      T[DEAD] = T[DEAD] - 1
      moved = moved + 1
      if ARGV[2] == 'replay' then
        enqueue(name, entry:sub(1, 17) .. entry:sub((entry:find('[', 18, true))), 'RPUSH')
      else
        T[ACCEPTED], T[DROPPED] = T[ACCEPTED] - 1, T[DROPPED] + 1
      end
    end
  end
end
call('SET', once, moved, 'EX', '3600')
reindex_sites()
save()
return moved
