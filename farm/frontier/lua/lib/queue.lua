-- queue: a URL is stored once, as an entry, and moves: queue, lease, delayed, dead.
-- An entry is id (16 hex digits), band (one digit), counts (empty, or failures.throttled.expiries), payload
-- (a JSON array, which no script looks into).
local function parse(entry)
  local brace = find(entry, '[', 18, true)
  if not brace or not match(entry, '^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%d') then
    return nil
  end
  local fails, throttled, expiries = match(sub(entry, 18, brace - 1), '^(%d+)%.(%d+)%.(%d+)$')
  return {
    id = sub(entry, 1, 16),
    band = sub(entry, 17, 17),
    fails = tonumber(fails) or 0,
    throttled = tonumber(throttled) or 0,
    expiries = tonumber(expiries) or 0,
    payload = sub(entry, brace),
  }
end

local function compose(e)
  local counts = ''
  if e.fails + e.throttled + e.expiries > 0 then
    counts = format('%d.%d.%d', e.fails, e.throttled, e.expiries)
  end
  return e.id .. e.band .. counts .. e.payload
end

local function enqueue(s, entry, first)
  local band = sub(entry, 17, 17)
  found(s)
  local length = call(first and 'LPUSH' or 'RPUSH', P .. 'q:' .. band .. ':' .. s.name, entry)
  bump('q' .. band, 1)
  if length == 1 and not find(s.bands, band, 1, true) then
    s.bands = s.bands .. band
  end
end

local function delay(site_name, entry, until_ms)
  call('ZADD', P .. 'delayed', until_ms, site_name .. '\n' .. entry)
  bump('delayed', 1)
end

local function bury(site_name, id, entry, reason, detail)
  local at = format('%.0f', now)
  call('HSET', P .. 'dead', id, table.concat({ reason, at, detail, site_name, entry }, '\n'))
  call('ZADD', P .. 'dead:' .. reason, now, id)
  call('HINCRBY', ctl, 'dead:' .. reason, 1)
  bump('dead', 1)
end

-- A link or a seed is id, band, site, newline, payload.
local function accept(link)
  local break_at = find(link, '\n', 18, true)
  enqueue(site(sub(link, 18, break_at - 1)), sub(link, 1, 17) .. sub(link, break_at + 1), false)
  bump('accepted', 1)
end

local function check_link(link)
  return find(link, '^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%d[^\n]+\n%[')
end
