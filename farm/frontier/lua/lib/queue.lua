-- queue: a URL is stored once, as an entry, and moves: queue, lease, delayed, dead.
-- An entry is id (16 hex digits), band (one digit), counts (empty, or failures.throttled.deaths), payload
-- (a JSON array, which no script looks into).
-- Being leased when a node dies is no evidence: much else was. A URL that was leased at as many deaths as
-- SUSPECT_DEATHS is a suspect. Suspects have a band of their own behind all others, and are leased only while their node
-- holds nothing else, so that a further death speaks against them alone.
-- Uses: core (tallies), site (site, limit_site)
local IS_ENTRY = '^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%d[%d.]*%['
local SUSPECT, SUSPECT_DEATHS, BRACKET = 's', 2, 91

local function is_suspect(entry)
  if entry:byte(18) == BRACKET then
    return false
  end
  return (tonumber(entry:match('^%d+%.%d+%.(%d+)', 18)) or 0) >= SUSPECT_DEATHS
end

-- A site comes into being with its first URL; merely asking for one creates nothing. One that has others queued in
-- the band need not be looked at: it has its place. Returns how many are queued there now.
local function enqueue(name, entry, push)
  local band = entry:sub(17, 17)
  if is_suspect(entry) then
    band = SUSPECT
    C[SUSPECTS] = C[SUSPECTS] + 1
  else
    C[Q + band] = C[Q + band] + 1
  end
  local length = call(push, P .. 'q:' .. band .. ':' .. name, entry)
  if length == 1 then
    local s = site(name)
    if not s[KNOWN] then
      tallies()
      s[KNOWN], s[ANEW] = true, true
      T[SITES] = T[SITES] + 1
      limit_site(s)
    end
    if not s[BANDS]:find(band, 1, true) then
      s[BANDS] = s[BANDS] .. band
    end
  end
  return length
end
