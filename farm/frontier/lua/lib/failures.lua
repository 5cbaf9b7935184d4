-- failures: what is counted against an entry, and how a URL is given up as a dead letter.
-- Uses: core (tallies)
local MOST_HISTORIES, LONGEST_HISTORY, MOST_EVENTS = 100000, 10, 10000

-- Changes an entry's counts; nil when it is none.
local function recount(entry, fails, throttled, deaths)
  if not entry:find(IS_ENTRY) then
    return nil
  end
  local brace = entry:find('[', 18, true)
  local f, t, x = entry:sub(18, brace - 1):match('^(%d+)%.(%d+)%.(%d+)$')
  f, t, x = (f or 0) + fails, (t or 0) + throttled, (x or 0) + deaths
  local counts = f + t + x > 0 and ('%d.%d.%d'):format(f, t, x) or ''
  return entry:sub(1, 17) .. counts .. entry:sub(brace), x
end

-- An event for the crawl's webhook, where it has one.
local function tell_hook(event)
  if call('LLEN', P .. 'hooks') < MOST_EVENTS then
    call('RPUSH', P .. 'hooks', event)
  else
    call('HINCRBY', P .. 'hooked', 'lost', 1)
  end
end

-- The date is the server's own: it is for people. No letter replaces another: what was garbled may have one's id.
local function bury(site_name, id, entry, reason, detail)
  tallies()
  local when = ('%d'):format(micros / 1000)
  local letter = table.concat({ reason, when, detail, site_name, entry }, '\n')
  while call('HSETNX', P .. 'dead', id, letter) == 0 do
    id = redis.sha1hex(id):sub(1, 16)
  end
  call('ZADD', P .. 'dead:' .. reason, when, id)
  call('HINCRBY', P .. 'tally', reason, 1)
  T[DEAD] = T[DEAD] + 1
  if call('EXISTS', P .. 'hooked') == 1 then
    local event = '{"type":"dead_letter","at":%s,"id":%s,"reason":%s}'
    tell_hook(event:format(when, cjson.encode(id), cjson.encode(reason)))
  end
end

-- What cannot be read has no id that could be believed.
local function bury_unreadable(site_name, text, detail)
  bury(site_name, redis.sha1hex(text):sub(1, 16), text, 'corrupt', detail)
end

-- Keeps what is known of a visit that failed: a line each, the server's own time before what the farm says of it. There
-- as long as the URL has counts or is dead; the caller sees to it that it has.
local function note_failure(id, visit)
  local known = call('HGET', P .. 'failed', id)
  if visit == '' or C[FULL] == 1 or not known and call('HLEN', P .. 'failed') >= MOST_HISTORIES then
    return
  end
  local lines = (known and known .. '\n' or '') .. ('%d '):format(micros / 1000) .. visit
  local _, breaks = lines:gsub('\n', '')
  if breaks >= LONGEST_HISTORY then
    lines = lines:match('\n(.*)$')
  end
  call('HSET', P .. 'failed', id, lines)
end

-- An entry without counts gets some, so that its acknowledgement knows that there is something to forget.
local function mark_failed(entry)
  return entry:byte(18) == BRACKET and entry:sub(1, 17) .. '0.0.0' .. entry:sub(18) or entry
end
