-- links: deduplicate and enqueue, in one go with whatever else the script does.
-- A link or a seed is id, band, site, newline, payload. Nothing is written before all are checked.
local IS_LINK = '^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%d[^\n]+\n%['

local function links_are_sound(first, last)
  for i = first, last do
    if not ARGV[i]:find(IS_LINK) then
      return false
    end
  end
  return true
end

local function accept_links(first, last)
  local accepted, folds = 0, round_of()
  for i = first, last do
    local link = ARGV[i]
    if remember(link, folds) then
      local break_at = link:find('\n', 18, true)
      enqueue(site(link:sub(18, break_at - 1)), link:sub(1, 17) .. link:sub(break_at + 1), 'RPUSH')
      accepted = accepted + 1
    end
  end
  C[ACCEPTED] = C[ACCEPTED] + accepted
  C[DUPLICATES] = C[DUPLICATES] + last - first + 1 - accepted
  if accepted > 0 then
    grow_seen()
  end
  return accepted
end
