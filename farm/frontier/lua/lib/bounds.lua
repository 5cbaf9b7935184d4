-- bounds: how many URLs may wait, in the shard and in one queue of a site; beyond that the least urgent are left out.
-- What is left out is not known afterwards, so that the filter does not grow by it, and that a link that comes again
-- later may find a place. A URL that waits already is displaced by one of a higher priority alone: it stays known, like a
-- dead letter that was dropped. While the server is nearly full nothing new is queued, since what is queued already
-- needs memory to be worked on.
-- Uses: core (tallies), seen (is_known, forget), site (site, reindex_sites)
local MOST_COUNTED = 4294967295

local function queued_in_all()
  local count = C[SUSPECTS]
  for band = 0, 9 do
    count = count + C[Q + band]
  end
  return count
end

-- Takes the newest URL out of one queue of a site; whether there was one.
local function displace_of(s, band)
  local digit = ('%d'):format(band)
  local queue = P .. 'q:' .. digit .. ':' .. s[NAME]
  local entry = call('RPOP', queue)
  if call('EXISTS', queue) == 0 then
    s[BANDS] = s[BANDS]:gsub(digit, '')
  end
  if entry then
    if entry:byte(18) ~= BRACKET then
      call('HDEL', P .. 'failed', entry:sub(1, 16))
    end
    C[Q + band] = C[Q + band] - 1
    T[ACCEPTED], T[DROPPED] = T[ACCEPTED] - 1, T[DROPPED] + 1
    T[LEFT_OUT] = math.min(T[LEFT_OUT] + 1, MOST_COUNTED)
  end
  return entry and true or false
end

-- Whether a URL of this band took the place of a less urgent one: of its own site, or else of another.
local function displace(s, urgency)
  for band = 0, urgency - 1 do
    if s[BANDS]:find(('%d'):format(band), 1, true) and displace_of(s, band) then
      return true
    end
  end
  for band = 0, urgency - 1 do
    if C[Q + band] > 0 then
      reindex_sites()
      local last = call('ZRANGE', P .. 'ready:' .. band, '-1', '-1')[1]
      if last and displace_of(site(last), band) then
        return true
      end
    end
  end
  return false
end

-- Whether one more URL of a site and a band may be queued. Where it would find no place of its own (a page links to it
-- twice, its site has its share already), nothing is displaced for it.
local function may_queue(name, link, folds)
  if C[FULL] == 1 then
    return false
  end
  if C[MAX_QUEUED] == 0 or queued_in_all() < C[MAX_QUEUED] then
    return true
  end
  tallies()
  local band = link:sub(33, 33)
  local has_share = C[SITE_QUEUED] == 0 or call('LLEN', P .. 'q:' .. band .. ':' .. name) < C[SITE_QUEUED]
  return has_share and not is_known(link, folds) and displace(site(name), tonumber(band))
end

-- Takes the last one out of a queue that it made too long.
local function shorten(name, link, folds)
  call('RPOP', P .. 'q:' .. link:sub(33, 33) .. ':' .. name)
  C[Q + link:sub(33, 33)] = C[Q + link:sub(33, 33)] - 1
  if not forget(link, folds) then
    T[DROPPED] = T[DROPPED] + 1
  end
end
