-- site: what is known of one site, and its place in the ready sets.
-- A transition changes the tables that `site` returns; `reindex_sites` then writes them back and makes
-- the ready sets agree, which is the only way a site enters or leaves one. A site's score there is when it
-- is eligible next; among eligible sites the one that was placed longest ago comes first.
local NAME, BANDS, FLYING, ARRIVAL, BLOCKED, SPACING, SAVED_UP, ROOM = 1, 2, 3, 4, 5, 6, 7, 8
local HAD_BANDS, HAD_FLYING, HAD_ARRIVAL, HAD_BLOCKED, KNOWN, ANEW, MOVED = 9, 10, 11, 12, 13, 14, 15

local function site(name)
  local s = sites[name]
  if not s then
    local v = call('HMGET', P .. 'site:' .. name, 'b', 'f', 't', 'x', 'i', 'u', 'l')
    -- Most sites have none of the rest: what is not there is not worth a call.
    local bands, flying = v[1] or '', v[2] and tonumber(v[2]) or 0
    local arrival, blocked = v[3] and tonumber(v[3]) or now, v[4] and tonumber(v[4]) or 0
    s = {
      name, bands, flying, arrival, blocked,
      v[5] and tonumber(v[5]) or C[INTERVAL], v[6] and tonumber(v[6]) or C[BURST], v[7] and tonumber(v[7]) or C[LIMIT],
      bands, flying, arrival, blocked, v[1] ~= false, false, false,
    }
    sites[name] = s
  end
  return s
end

local MOST_LABELS = 127

-- A site that comes into being gets the limits that the user has for it: by its name, else by the first of the domains
-- above it that has any.
local function limit_site(s)
  local key, name = P .. 'limits', s[NAME]
  local names, _, dots = { name }, name:gsub('%.', '')
  if call('EXISTS', key) == 0 then
    return
  end
  local rest = dots < MOST_LABELS and name:match('%.(.+)$')
  while rest do
    names[#names + 1] = '*.' .. rest
    rest = rest:match('%.(.+)$')
  end
  local found = call('HMGET', key, unpack(names))
  for i = 1, #names do
    local apart, most, first = (found[i] or ''):match('^(%d+) (%d+) (%d+)$')
    if apart then
      local own = P .. 'site:' .. name
      if apart ~= '0' then
        s[SPACING] = math.max(tonumber(apart), tonumber(call('HGET', own, 'd')) or 0)
        call('HSET', own, 'o', apart, 'i', ('%d'):format(s[SPACING]))
      end
      if most ~= '0' then
        s[ROOM] = tonumber(first)
        call('HSET', own, 'c', most, 'l', first)
      end
      return
    end
  end
end

local function eligible_at(s)
  local at = s[ARRIVAL] - (s[SAVED_UP] - 1) * s[SPACING]
  return at > s[BLOCKED] and at or s[BLOCKED]
end

local function has_room(s)
  return s[ROOM] == 0 or s[FLYING] < s[ROOM]
end

-- How many leases of a site that is eligible could be granted at this moment, one after the other.
local function leases_left(s)
  local most = s[ROOM] == 0 and NEVER or math.max(0, s[ROOM] - s[FLYING])
  if s[SPACING] > 0 then
    local saved = s[SAVED_UP] - math.max(0, s[ARRIVAL] - now) / s[SPACING]
    most = math.min(most, math.max(0, math.floor(saved)))
  end
  return most
end

local function place(s)
  local bands, had, room = s[BANDS], s[HAD_BANDS], has_room(s)
  -- Whether it stays where it is in the ready sets, which is where most settlements leave it.
  local stays = not s[MOVED] and bands == had and s[BLOCKED] == s[HAD_BLOCKED] and s[ARRIVAL] == s[HAD_ARRIVAL]
    and room == (s[ROOM] == 0 or s[HAD_FLYING] < s[ROOM])
  if not stays then
    local at = ('%d'):format(eligible_at(s))
    for i = 1, #bands do
      if room then
        call('ZADD', P .. 'ready:' .. bands:sub(i, i), at, s[NAME])
      else
        call('ZREM', P .. 'ready:' .. bands:sub(i, i), s[NAME])
      end
    end
  end
  local fields, n = {}, 0
  if bands ~= had or s[ANEW] then
    for i = 1, #had do
      local band = had:sub(i, i)
      if not bands:find(band, 1, true) then
        call('ZREM', P .. 'ready:' .. band, s[NAME])
      end
    end
    fields[1], fields[2], n = 'b', bands, 2
  end
  if s[FLYING] ~= s[HAD_FLYING] then
    fields[n + 1], fields[n + 2], n = 'f', s[FLYING], n + 2
  end
  -- Without a spacing the place in the ready set says all that is needed.
  if s[ARRIVAL] ~= s[HAD_ARRIVAL] and s[SPACING] > 0 then
    fields[n + 1], fields[n + 2], n = 't', ('%d'):format(s[ARRIVAL]), n + 2
  end
  if s[BLOCKED] ~= s[HAD_BLOCKED] then
    fields[n + 1], fields[n + 2], n = 'x', ('%d'):format(s[BLOCKED]), n + 2
  end
  if n > 0 then
    call('HSET', P .. 'site:' .. s[NAME], unpack(fields))
  end
  s[HAD_BANDS], s[HAD_FLYING], s[HAD_ARRIVAL], s[HAD_BLOCKED], s[ANEW] = bands, s[FLYING], s[ARRIVAL], s[BLOCKED], false
  s[MOVED] = false
end

local function reindex_sites()
  for _, s in pairs(sites) do
    if s[MOVED] or s[ANEW] or s[BANDS] ~= s[HAD_BANDS] or s[FLYING] ~= s[HAD_FLYING] or s[BLOCKED] ~= s[HAD_BLOCKED] then
      place(s)
    end
  end
end
