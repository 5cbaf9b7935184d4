#!lua flags=no-writes
-- Purpose:   list dead letters of one reason, a page at a time, the oldest first.
-- Guarantee: a page costs what it holds; letters that are added meanwhile come on later pages.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' (not used) · 2 reason · 3 how many to pass over · 4 how many to return
-- Returns:   {how many there are in all, id, letter, id, letter...}
begin()
local reply = { call('ZCARD', P .. 'dead:' .. ARGV[2]) }
for _, id in ipairs(call('ZRANGE', P .. 'dead:' .. ARGV[2], ARGV[3], ARGV[3] + ARGV[4] - 1)) do
  reply[#reply + 1] = id
  reply[#reply + 1] = call('HGET', P .. 'dead', id) or ''
end
return reply
