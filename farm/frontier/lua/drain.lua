#!lua flags=allow-oom
-- Purpose:   ask one node to end, and not to begin again; or take that back, for one or for all.
-- Guarantee: lasts until it is taken back, whoever has the name by then. A repetition changes nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 node, or '' for all · 3 'drain', 'resume' or 'ask'
-- Returns:   1 when the node is asked to end, else 0
begin()
if ARGV[3] == 'drain' then
  call('SADD', P .. 'drained', ARGV[2])
elseif ARGV[3] == 'resume' and ARGV[2] == '' then
  call('DEL', P .. 'drained')
elseif ARGV[3] == 'resume' then
  call('SREM', P .. 'drained', ARGV[2])
end
save()
return is_drained(ARGV[2]) and 1 or 0
