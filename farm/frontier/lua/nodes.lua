#!lua flags=no-writes
-- Purpose:   list the nodes at work, and then those that are gone.
-- Guarantee: one moment for all; changes nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 1 to count what each has leased, which takes a look at every lease, or 0
-- Returns:   for each its name, incarnation, for how many ms it has been silent, after how many it is taken for dead,
--            facts, how many URLs it has leased (0 where they are not counted), what it is: '' at work, 'draining'
--            asked to end, 'lost', 'ended'
begin()
local leased, listed = {}, {}
for _, slot in ipairs(ARGV[2] == '1' and C[LEASED] > 0 and call('ZRANGE', P .. 'due', '0', '-1') or {}) do
  local whole, _, _, fence = pcall(struct.unpack, 'sss', call('HGET', P .. 'slot', slot) or '')
  if whole and fence ~= '' then
    leased[node_of(slot)] = (leased[node_of(slot)] or 0) + 1
  end
end
local function list(node, known, since, state)
  local incarnation, facts = (known or ' '):match('^(%S*) (.*)$')
  local silent_ms = math.max(0, now - (tonumber(since) or now))
  for _, value in ipairs({ node, incarnation or '', silent_ms, C[SILENCE], facts or '', leased[node] or 0, state }) do
    listed[#listed + 1] = value
  end
end
local present = call('ZRANGE', P .. 'nodes', '0', '-1', 'WITHSCORES')
for i = 1, #present, 2 do
  list(present[i], call('HGET', P .. 'node', present[i]), present[i + 1], is_drained(present[i]) and 'draining' or '')
end
local left = call('ZRANGE', P .. 'left', '0', '-1', 'WITHSCORES')
for i = 1, #left, 2 do
  local state, known = (call('HGET', P .. 'gone', left[i]) or ''):match('^(%S+) (.*)$')
  list(left[i], known, left[i + 1], state or 'lost')
end
return listed
