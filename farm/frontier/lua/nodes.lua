#!lua flags=no-writes
-- Purpose:   list the nodes at work.
-- Guarantee: one moment for all; changes nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or ''
-- Returns:   for each its name, incarnation, for how many ms it has been silent, after how many it is taken for dead, facts
begin()
local listed = {}
for _, node in ipairs(call('ZRANGE', P .. 'nodes', '0', '-1')) do
  local incarnation, facts = (call('HGET', P .. 'node', node) or ' '):match('^(%S*) (.*)$')
  local silent_ms = math.max(0, now - (tonumber(call('ZSCORE', P .. 'nodes', node)) or now))
  for _, value in ipairs({ node, incarnation or '', silent_ms, C[SILENCE], facts or '' }) do
    listed[#listed + 1] = value
  end
end
return listed
