-- links: deduplicate and enqueue, in one go with whatever else the script does.
-- Returns how many were accepted; ARGV[first..last] are links that `check_link` has passed.
local function accept_links(first, last)
  local accepted = 0
  for i = first, last do
    if remember(ARGV[i]) then
      accept(ARGV[i])
      accepted = accepted + 1
    end
  end
  local turned_away = last - first + 1 - accepted
  if turned_away > 0 then
    bump('duplicates', turned_away)
  end
  if accepted > 0 then
    grow_seen()
  end
  return accepted
end

local function links_are_sound(first, last)
  for i = first, last do
    if not check_link(ARGV[i]) then
      return false
    end
  end
  return true
end
