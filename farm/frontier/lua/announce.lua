#!lua flags=allow-oom
-- Purpose:   put an event of the crawl into the outbox of its webhook, unless the same was announced lately.
-- Guarantee: of many nodes that announce the same thing at once one does; a repetition changes nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 what is the same · 3 for how many ms it counts as announced · 4 the event
-- Returns:   1 when it was announced now, else 0
begin()
local announced = call('SET', P .. 'announced:' .. ARGV[2], '1', 'NX', 'PX', ARGV[3])
if announced then
  tell_hook(ARGV[4])
end
return announced and 1 or 0
