#!lua flags=allow-oom
-- Purpose:   change what one site bears: its spacing, burst and places in flight; block it until a time.
-- Guarantee: holds for every node with the next lease; what is leased is not touched.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 site · 3 interval in ms · 4 burst · 5 places in flight (each '' to leave it
--            as it is) · 6 block for so many ms, or 0 · 7 the egress address that is blocked, or '' for all
-- Returns:   nothing
begin()
local key = P .. 'site:' .. ARGV[2]
for i, field in ipairs({ 'i', 'u', 'l' }) do
  if ARGV[i + 2] ~= '' then
    call('HSET', key, field, ARGV[i + 2])
  end
end
local s = site(ARGV[2])
if ARGV[6] ~= '0' then
  local until_ms = now + ARGV[6]
  if ARGV[7] == '' then
    s[BLOCKED] = math.max(s[BLOCKED], until_ms)
  else
    shut(ARGV[2], ARGV[7], until_ms)
  end
end
s[MOVED] = true
reindex_sites()
save()
