#!lua flags=allow-oom
-- Purpose:   let keys of a crawl that is over end by themselves, or keep them after all.
-- Guarantee: a key that ends earlier by itself still does.
-- KEYS:      1 a name with the tag of all of the keys
-- ARGV:      1 own time in ms or '' (not used) · 2 in how many ms they end, or '' to keep them · 3.. the keys
-- Returns:   how many were changed
local changed = 0
for i = 3, #ARGV do
  if ARGV[2] == '' then
    changed = changed + call('PERSIST', ARGV[i])
  else
    changed = changed + call('PEXPIRE', ARGV[i], ARGV[2], 'LT')
  end
end
return changed
