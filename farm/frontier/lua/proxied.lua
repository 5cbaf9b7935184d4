#!lua flags=allow-oom
-- Purpose:   add up the bytes that the crawl's proxies carried, and keep their budget.
-- Guarantee: a run says how many it has carried so far, and only what is new of them is added: a repetition adds
--            nothing, nor does what comes late. The budget that was given last holds for all nodes.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 the run · 3 its bytes so far · 4 a budget in bytes, 0 for none, or '' to leave
--            it as it is
-- Returns:   {bytes of all runs, the budget or 0}
begin()
local key, run = P .. 'proxied', P .. 'proxied:' .. ARGV[2]
local more = tonumber(ARGV[3]) - (tonumber(call('GET', run)) or 0)
if more > 0 then
  call('HINCRBY', key, 'bytes', ('%.0f'):format(more))
  call('SET', run, ARGV[3])
end
-- Longer than any run waits for Redis.
call('EXPIRE', run, '604800')
if ARGV[4] ~= '' then
  call('HSET', key, 'budget', ARGV[4])
end
local kept = call('HMGET', key, 'bytes', 'budget')
return { kept[1] or '0', kept[2] or '0' }
