#!lua flags=allow-oom
-- Purpose:   move a shard's part of the limits that belong to no site, since a script sees one shard only.
-- Guarantee: the lender that began last is the only one that changes anything. A shard keeps as many places as
--            visits are under way. Its next visit may begin no later than one interval from now.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 begin (first shard) | look | set (any shard)
--            begin: 3 how many ms after the one before · 4 interval and 5 places in all shards, if nobody has lent yet
--            look:  3 lender · set: 3 lender · 4 interval in ms · 5 places
-- Returns:   begin: {lender, interval in ms, places, of all shards together}; {} when it is too early
--            look: {interval, places, leases since the look before, ms since then or -1, visits under way}
--            set: {interval, places, as they are now}; both {} where another lender has begun since
begin()
local key, action, lender = P .. 'lending', ARGV[2], tonumber(ARGV[3])
local known = call('HMGET', key, 'lender', 'begun', 'interval', 'places', 'looked', 'leases', 'counted')
local last = tonumber(known[1]) or 0
local reply = {}
if action == 'begin' then
  if now >= (tonumber(known[2]) or -NEVER) + lender then
    reply = { tostring(last + 1), known[3] or ARGV[4], known[4] or ARGV[5] }
    call('HSET', key, 'lender', last + 1, 'begun', ('%d'):format(now), 'interval', reply[2], 'places', reply[3])
  end
elseif lender >= last and action == 'look' then
  local looked, leases = tonumber(known[5]), tonumber(known[6]) or 0
  local since, more = looked and now - looked or -1, leases - (tonumber(known[7]) or leases)
  call('HSET', key, 'lender', lender, 'looked', ('%d'):format(now), 'counted', leases)
  reply = { ('%.17g'):format(C[ALL_INTERVAL]), C[ALL_LIMIT], more, since, C[LEASED] }
elseif lender >= last and action == 'set' then
  C[ALL_INTERVAL] = tonumber(ARGV[4])
  C[ALL_LIMIT] = C[ALL_LIMIT] > 0 and math.max(tonumber(ARGV[5]), C[LEASED]) or 0
  call('SETRANGE', KEYS[1], ALL_INTERVAL_FROM, struct.pack('<d', C[ALL_INTERVAL]))
  call('SETRANGE', KEYS[1], ALL_LIMIT_FROM, struct.pack('<i', C[ALL_LIMIT]))
  if C[ALL_INTERVAL] > 0 then
    C[TAT] = math.min(C[TAT], now + math.floor(C[ALL_INTERVAL]))
    local due = tonumber(call('HGET', P .. 'out:', 's'))
    if due then
      call('HSET', P .. 'out:', 's', ('%d'):format(math.min(due, now + C[ALL_INTERVAL])))
    end
  end
  reply = { ('%.17g'):format(C[ALL_INTERVAL]), C[ALL_LIMIT] }
elseif action ~= 'look' and action ~= 'set' then
  return redis.error_reply('BADARG a lender begins, looks or sets')
end
save()
return reply
