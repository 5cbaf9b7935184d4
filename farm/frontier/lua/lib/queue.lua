-- queue: a URL is stored once, as an entry, and moves: queue, lease, delayed, dead.
-- An entry is id (16 hex digits), band (one digit), counts (empty, or failures.throttled.expiries), payload
-- (a JSON array, which no script looks into).
local IS_ENTRY = '^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%d[%d.]*%['

-- Changes an entry's counts; nil when it is none.
local function recount(entry, fails, throttled, expiries)
  if not entry:find(IS_ENTRY) then
    return nil
  end
  local brace = entry:find('[', 18, true)
  local f, t, x = entry:sub(18, brace - 1):match('^(%d+)%.(%d+)%.(%d+)$')
  f, t, x = (f or 0) + fails, (t or 0) + throttled, (x or 0) + expiries
  local counts = f + t + x > 0 and ('%d.%d.%d'):format(f, t, x) or ''
  return entry:sub(1, 17) .. counts .. entry:sub(brace), x
end

-- A site comes into being with its first URL; merely asking for one creates nothing.
local function enqueue(s, entry, push)
  local band = entry:sub(17, 17)
  if not s[KNOWN] then
    s[KNOWN], s[ANEW] = true, true
    C[SITES] = C[SITES] + 1
  end
  local length = redis.call(push, P .. 'q:' .. band .. ':' .. s[NAME], entry)
  C[Q + band] = C[Q + band] + 1
  if length == 1 and not s[BANDS]:find(band, 1, true) then
    s[BANDS] = s[BANDS] .. band
  end
end

local function bury(site_name, id, entry, reason, detail)
  redis.call('HSET', P .. 'dead', id, table.concat({ reason, now_text, detail, site_name, entry }, '\n'))
  redis.call('ZADD', P .. 'dead:' .. reason, now_text, id)
  redis.call('HINCRBY', P .. 'tally', reason, 1)
  C[DEAD] = C[DEAD] + 1
end
