#!lua flags=allow-oom
-- Purpose:   ask one node to end, and not to begin again; or take that back, for one or for all.
-- Guarantee: lasts until it is taken back, whoever has the name by then. At most MOST_DRAINED are asked: for one
--            more those are forgotten that are neither at work nor among the last that ended. A repetition changes
--            nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 node, or '' for all · 3 'drain', 'resume' or 'ask'
-- Returns:   1 when the node is asked to end, else 0; -1 when it is not, since too many are
local MOST_DRAINED = 1000
begin()
local function forget_the_unknown()
  for _, node in ipairs(call('SMEMBERS', P .. 'drained')) do
    if call('HEXISTS', P .. 'node', node) == 0 and call('HEXISTS', P .. 'gone', node) == 0 then
      call('SREM', P .. 'drained', node)
    end
  end
end

local fits = true
if ARGV[3] == 'drain' and not is_drained(ARGV[2]) then
  if call('SCARD', P .. 'drained') >= MOST_DRAINED then
    forget_the_unknown()
    fits = call('SCARD', P .. 'drained') < MOST_DRAINED
  end
  if fits then
    call('SADD', P .. 'drained', ARGV[2])
  end
elseif ARGV[3] == 'resume' and ARGV[2] == '' then
  call('DEL', P .. 'drained')
elseif ARGV[3] == 'resume' then
  call('SREM', P .. 'drained', ARGV[2])
end
save()
return fits and (is_drained(ARGV[2]) and 1 or 0) or -1
