-- tiers: what visits show of the renderers that cost less than the browser, by templates of addresses.
-- A page that such a renderer brought without a comparison is done, and its entry is kept until an audit confirms it: in
-- one transition with a comparison that differs, all of a template that are not confirmed are queued again, for the
-- browser. Numbers that many renderings share are counted in one hash, those of a site beside its other fields.
-- Uses: queue (enqueue)
local MOST_PENDING, MOST_PENDING_OF_SHARD, MOST_TEMPLATES_OF_SITE, MOST_TEMPLATES_OF_SHARD = 2000, 200000, 500, 20000
local UNFIT_IN_A_ROW, EXAMPLES = 5, 3

-- The notes of an ack as a table; nil where the text is none.
local function notes_of(text)
  local read, told = pcall(cjson.decode, text)
  if not (read and type(told) == 'table' and type(told.notes) == 'table' and type(told.id) == 'string'
    and type(told.template) == 'string' and type(told.again) == 'string' and told.again:sub(1, 1) == '[') then
    return nil
  end
  for _, note in ipairs(told.notes) do
    if not (type(note) == 'table' and type(note[1]) == 'string' and type(note[2]) == 'string' and tonumber(note[3])
      and tonumber(note[4]) and tonumber(note[5]) and type(note[6]) == 'string') then
      return nil
    end
  end
  return told
end

local function count_tier(field, by)
  return call('HINCRBY', P .. 'tiers', field, by)
end

-- A page that was kept is to be visited again.
local function requeue(name, entry)
  C[DONE] = C[DONE] - 1
  C[RENDERED] = math.max(0, C[RENDERED] - 1)
  enqueue(name, entry, 'RPUSH')
  count_tier('requeued', 1)
end

-- Takes so many of the oldest pages off those that wait; whether they are visited again.
local function settle_taken(told, name, renderer, count, again)
  local list = P .. 'taken:' .. renderer .. ':' .. told.id
  if count <= 0 then
    return
  end
  if again then
    for _, kept in ipairs(call('LRANGE', list, '0', ('%d'):format(count - 1))) do
      local share, entry = kept:match('^(%d+) (.*)$')
      if entry and entry:find(IS_ENTRY) then
        requeue(name, entry)
        count_tier('pages:' .. renderer, -1)
        count_tier('share:' .. share, -1)
      end
    end
  end
  call('LTRIM', list, ('%d'):format(count), '-1')
  count_tier('pending', -count)
end

-- A comparison that differs, or a renderer that is unfit again and again.
local function fail_tier(told, key, name, renderer, example)
  local agreed, taken, confirmed = unpack(call('HMGET', key, renderer .. ':agreed', renderer .. ':taken', renderer .. ':confirmed'))
  if call('HINCRBY', key, renderer .. ':failures', 1) == 1 then
    call('HINCRBY', P .. 'site:' .. name, 'pooled:' .. renderer, ('%d'):format(-(agreed or 0)))
  end
  settle_taken(told, name, renderer, (taken or 0) - (confirmed or 0), true)
  call('HSET', key, renderer .. ':agreed', 0, renderer .. ':unfit', 0, renderer .. ':confirmed', taken or 0,
    renderer .. ':differed_at', ('%d'):format(micros / 1000))
  local examples, n = { example }, 1
  for line in (call('HGET', key, renderer .. ':examples') or ''):gmatch('[^\n]+') do
    if n < EXAMPLES then
      n = n + 1
      examples[n] = line
    end
  end
  call('HSET', key, renderer .. ':examples', table.concat(examples, '\n'))
end

local function tier_states(told, name)
  local states, key = {}, P .. 'tier:' .. told.id
  local crowded = (tonumber(call('HGET', P .. 'tiers', 'pending')) or 0) >= MOST_PENDING_OF_SHARD
  for i, note in ipairs(told.notes) do
    local r, state = note[1], { note[1] }
    for j, field in ipairs({ 'agreed', 'failures', 'unfit', 'taken', 'confirmed' }) do
      state[j + 1] = tonumber(call('HGET', key, r .. ':' .. field)) or 0
    end
    local site_fields = call('HMGET', P .. 'site:' .. name, 'pooled:' .. r, 'taken:' .. r)
    state[7], state[8] = tonumber(site_fields[1]) or 0, tonumber(site_fields[2]) or 0
    state[9] = crowded and 1 or 0
    states[i] = state
  end
  return states
end

-- Whether there is a place for the template.
local function has_template(told, key, name)
  if call('EXISTS', key) == 1 then
    return true
  end
  local own, of_site = P .. 'site:' .. name, 'templates'
  if (tonumber(call('HGET', own, of_site)) or 0) >= MOST_TEMPLATES_OF_SITE
    or (tonumber(call('HGET', P .. 'tiers', of_site)) or 0) >= MOST_TEMPLATES_OF_SHARD then
    return false
  end
  call('HSET', key, 'template', told.template, 'site', name, 'since', ('%d'):format(micros / 1000))
  call('HINCRBY', own, of_site, 1)
  count_tier(of_site, 1)
  return true
end

-- Keeps what a visit that was just counted as done shows; returns what is known afterwards, nothing where there is no
-- place for the template. A visit that was planned before the last difference says nothing of what came after it: of
-- many that were under way then, those that agree would be a new proof, and those that are unfit further differences.
local function note_tiers(told, name, entry)
  local key = P .. 'tier:' .. told.id
  local again = entry:sub(1, 17) .. told.again
  if not has_template(told, key, name) then
    for _, note in ipairs(told.notes) do
      if note[2] == 'taken' then
        requeue(name, again)
      end
    end
    return { 'full' }
  end
  for _, note in ipairs(told.notes) do
    local r, kind, failures, confirms, share, example = unpack(note, 1, 6)
    local v = call('HMGET', key, r .. ':failures', r .. ':taken', r .. ':confirmed')
    local had, taken, confirmed = tonumber(v[1]) or 0, tonumber(v[2]) or 0, tonumber(v[3]) or 0
    if kind == 'taken' then
      local pending = tonumber(call('HGET', P .. 'tiers', 'pending')) or 0
      call('HSET', key, r .. ':unfit', 0)
      if had ~= failures or taken - confirmed >= MOST_PENDING or pending >= MOST_PENDING_OF_SHARD then
        requeue(name, again)
      else
        call('RPUSH', P .. 'taken:' .. r .. ':' .. told.id, ('%d '):format(share) .. again)
        call('HINCRBY', key, r .. ':taken', 1)
        call('HINCRBY', P .. 'site:' .. name, 'taken:' .. r, 1)
        count_tier('pending', 1)
        count_tier('pages:' .. r, 1)
        count_tier(('share:%d'):format(share), 1)
      end
    elseif had == failures then
      if kind == 'agreed' then
        call('HINCRBY', key, r .. ':agreed', 1)
        call('HSET', key, r .. ':unfit', 0)
        if had == 0 then
          call('HINCRBY', P .. 'site:' .. name, 'pooled:' .. r, 1)
        end
        confirms = math.min(confirms, taken)
        if confirms > confirmed then
          settle_taken(told, name, r, confirms - confirmed, false)
          call('HSET', key, r .. ':confirmed', ('%d'):format(confirms))
        end
      elseif kind == 'differed' or call('HINCRBY', key, r .. ':unfit', 1) >= UNFIT_IN_A_ROW then
        fail_tier(told, key, name, r, example)
      end
    end
    if kind == 'agreed' or kind == 'differed' then
      count_tier(share > 0 and 'audits' or 'compared', 1)
    end
    if kind == 'differed' and share > 0 then
      count_tier('differed', 1)
    end
  end
  return tier_states(told, name)
end
