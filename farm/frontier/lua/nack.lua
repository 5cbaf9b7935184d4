#!lua flags=allow-oom
-- Purpose:   settle a lease as not done: put off (retry), given up (bury) or given back (release).
-- Guarantee: only the current token settles; a repetition changes nothing and says the same; a throttled
--            retry blocks the site, or the site for the lease's address, in the same transaction.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 slot · 3 id · 4 token · 5 retry | bury | release · 6 reason
--            7 detail · 8 delay in ms · 9 1 when throttled (no attempt is consumed)
-- Returns:   'OK' | 'DUP' | 'STALE', or an error BADARG
-- Uses:      core site queue lease
local kind, wait = ARGV[5], tonumber(ARGV[8])
if not wait or not (kind == 'retry' or kind == 'bury' or kind == 'release') then
  return redis.error_reply('BADARG a lease is settled by retry, bury or release')
end
local me = slot_state(ARGV[2])
local lease = held(ARGV[3])
local deed = kind .. ' ' .. ARGV[3] .. ' ' .. ARGV[4]
if not lease or lease.token ~= ARGV[4] then
  return me.settled == deed and 'DUP' or 'STALE'
end
local s = let_go(lease)
local e = parse(lease.entry)
if not e then
  bury(lease.site, lease.id, lease.entry, 'corrupt', 'the entry cannot be read')
elseif kind == 'bury' then
  bury(lease.site, e.id, lease.entry, ARGV[6], ARGV[7])
elseif kind == 'release' then
  enqueue(s, lease.entry, true)
else
  bump('retried', 1)
  if ARGV[9] == '1' then
    e.throttled = e.throttled + 1
    if lease.egress == '' then
      s.blocked = max(s.blocked, now + wait)
    else
      call('HSET', P .. 'site:' .. s.name, 'x@' .. lease.egress, now + wait)
    end
  else
    e.fails = e.fails + 1
  end
  delay(lease.site, compose(e), now + wait)
end
me.settled = deed
if me.id == ARGV[3] then
  me.id, me.token = '', ''
end
place_sites()
save_slot(me)
save()
return 'OK'
