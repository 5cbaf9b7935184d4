#!lua flags=allow-oom
-- Purpose:   settle a lease as not done: put off (retry), given up (bury) or given back (release).
-- Guarantee: only the current token settles; a repetition changes nothing and says the same; a throttled
--            retry blocks the site, or the site for the lease's address, in the same transaction.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 slot · 3 id · 4 token · 5 retry | bury | release · 6 reason
--            7 detail · 8 delay in ms · 9 1 when throttled (no attempt is consumed), 2 when the site has not asked for
--            that and is not blocked, else 0 · 10 what is known of the visit, in one line, or ''
-- Returns:   'OK' | 'DUP' | 'STALE', or an error BADARG
begin()
local kind, wait = ARGV[5], tonumber(ARGV[8])
if not wait or not (kind == 'retry' or kind == 'bury' or kind == 'release') then
  return redis.error_reply('BADARG a lease is settled by retry, bury or release')
end
local r = record_of(ARGV[2])
local action = kind .. ' ' .. ARGV[4]
if not holds(r, ARGV[3], ARGV[4]) then
  reindex_sites()
  save()
  return r[SETTLED] == action and 'DUP' or 'STALE'
end
local out = r[OUT]
local s, entry = release(r)
local throttled, blocks = ARGV[9] == '0' and 0 or 1, ARGV[9] == '1'
local again = recount(entry, 1 - throttled, throttled, 0)
if not again then
  bury(s[NAME], ARGV[3], entry, 'corrupt', 'the entry cannot be read')
elseif kind == 'bury' then
  note_failure(ARGV[3], ARGV[10])
  bury(s[NAME], ARGV[3], entry, ARGV[6], ARGV[7])
elseif kind == 'release' then
  note_failure(ARGV[3], ARGV[10])
  enqueue(s[NAME], ARGV[10] == '' and entry or mark_failed(entry), 'LPUSH')
else
  note_failure(ARGV[3], ARGV[10])
  local until_ms = now + wait
  tallies()
  T[RETRIED] = T[RETRIED] + 1
  if blocks and out == '' then
    s[BLOCKED] = math.max(s[BLOCKED], until_ms)
  elseif blocks then
    block_address(s[NAME], out, until_ms)
  end
  call('ZADD', P .. 'delayed', ('%d'):format(until_ms), s[NAME] .. '\n' .. again)
  C[DELAYED] = C[DELAYED] + 1
  C[DELAYED_FROM] = math.min(C[DELAYED_FROM], until_ms)
end
r[SETTLED] = action
store_slot(ARGV[2], r)
reindex_sites()
save()
return 'OK'
