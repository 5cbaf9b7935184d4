-- site: what is known of one site, and its place in the ready sets.
-- A transition changes the tables that `site` returns; `place_sites` then writes them back and makes
-- the ready sets agree, which is the only way a site enters or leaves one.
local sites, touched = {}, {}

local function site(name)
  local s = sites[name]
  if s then
    return s
  end
  local v = call('HMGET', P .. 'site:' .. name, 'b', 'f', 't', 'x', 'i', 'u', 'l')
  s = {
    name = name,
    bands = v[1] or '',
    flying = tonumber(v[2]) or 0,
    tat = tonumber(v[3]) or now,
    blocked = tonumber(v[4]) or 0,
    interval = tonumber(v[5]) or C.iv,
    burst = tonumber(v[6]) or C.burst,
    limit = tonumber(v[7]) or C.lim,
  }
  s.known = v[1] ~= false
  s.was = { bands = s.bands, flying = s.flying, tat = s.tat, blocked = s.blocked }
  sites[name] = s
  touched[#touched + 1] = s
  return s
end

-- A site comes into being with its first URL; merely asking for one creates nothing.
local function found(s)
  if not s.known then
    s.known, s.fresh = true, true
    bump('sites', 1)
  end
end

local function eligible_at(s)
  return max(s.tat - (s.burst - 1) * s.interval, s.blocked)
end

local function has_room(s)
  return s.limit == 0 or s.flying < s.limit
end

local function place_sites()
  for _, s in ipairs(touched) do
    local was = s.was
    local same_fields = s.bands == was.bands and s.flying == was.flying
    if not (same_fields and s.tat == was.tat and s.blocked == was.blocked) or s.fresh then
      local room, at = has_room(s), eligible_at(s)
      for i = 1, #s.bands do
        local band = sub(s.bands, i, i)
        if room then
          call('ZADD', P .. 'ready:' .. band, at, s.name)
        else
          call('ZREM', P .. 'ready:' .. band, s.name)
        end
      end
      for i = 1, #was.bands do
        local band = sub(was.bands, i, i)
        if not find(s.bands, band, 1, true) then
          call('ZREM', P .. 'ready:' .. band, s.name)
        end
      end
      local fields, n = {}, 0
      if s.bands ~= was.bands or s.fresh then
        fields[1], fields[2], n = 'b', s.bands, 2
      end
      if s.flying ~= was.flying then
        fields[n + 1], fields[n + 2], n = 'f', s.flying, n + 2
      end
      if s.tat ~= was.tat or s.fresh then
        fields[n + 1], fields[n + 2], n = 't', s.tat, n + 2
      end
      if s.blocked ~= was.blocked then
        fields[n + 1], fields[n + 2], n = 'x', s.blocked, n + 2
      end
      call('HSET', P .. 'site:' .. s.name, unpack(fields))
      was.bands, was.flying, was.tat, was.blocked = s.bands, s.flying, s.tat, s.blocked
      s.fresh = nil
    end
  end
end
