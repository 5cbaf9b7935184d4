-- queue: a URL is stored once, as an entry, and moves: queue, lease, delayed, dead.
-- An entry is id (16 hex digits), band (one digit), counts (empty, or failures.throttled.expiries), payload
-- (a JSON array, which no script looks into).
local IS_ENTRY = '^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%d[%d.]*%['

-- A site comes into being with its first URL; merely asking for one creates nothing. One that has others queued in
-- the band need not be looked at: it has its place.
local function enqueue(name, entry, push)
  local band = entry:sub(17, 17)
  C[Q + band] = C[Q + band] + 1
  if call(push, P .. 'q:' .. band .. ':' .. name, entry) == 1 then
    local s = site(name)
    if not s[KNOWN] then
      tallies()
      s[KNOWN], s[ANEW] = true, true
      T[SITES] = T[SITES] + 1
    end
    if not s[BANDS]:find(band, 1, true) then
      s[BANDS] = s[BANDS] .. band
    end
  end
end
