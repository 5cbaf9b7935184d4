#!lua flags=allow-oom
-- Purpose:   read what waits for another shard, and note what became of it: delivered, kept by the other's replicas, or
--            lost by the other.
-- Guarantee: an item is struck out only when the other shard has it for good; one that was delivered is kept until then,
--            and delivered again where the other shard's master was replaced by one that lacks it. Several nodes may
--            deliver the same outbox at once.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 the other shard · 3 read | delivered | again · 4 read: at most how many; else how
--            many were delivered in all when this was read · 5 delivered: how many more are now; again: how many the
--            other shard has · 6 delivered: 1 when they will outlive the other shard's master
-- Returns:   read: {how many were struck out so far, how many delivered, item...}; else: {how many are delivered now, or
--            fewer}
begin()
-- Of what is delivered and may yet be lost so much is kept for each other shard.
local MOST_KEPT = 20000
local target, action = ARGV[2], ARGV[3]
local outbox = P .. 'outbox:' .. target
local struck = tonumber(call('HGET', P .. 'struck', target) or 0)
local sent = tonumber(call('HGET', P .. 'sent', target) or struck)
if action == 'read' then
  return { struck, sent, unpack(call('LRANGE', outbox, sent - struck, sent - struck + ARGV[4] - 1)) }
end
if sent ~= tonumber(ARGV[4]) then
  return { 0 }
end
local moved, strikes = 0, 0
if action == 'delivered' then
  moved = math.min(tonumber(ARGV[5]), call('LLEN', outbox) - (sent - struck))
  sent = sent + moved
  strikes = ARGV[6] == '1' and sent - struck or math.max(0, sent - struck - MOST_KEPT)
elseif action == 'again' then
  moved = math.max(tonumber(ARGV[5]), struck) - sent
  sent = sent + moved
else
  return redis.error_reply('BADARG an outbox is read, delivered or delivered again')
end
C[OUTBOX] = C[OUTBOX] - moved
if strikes > 0 then
  call('LTRIM', outbox, strikes, -1)
  struck = call('HINCRBY', P .. 'struck', target, strikes)
end
if sent > struck then
  call('HSET', P .. 'sent', target, ('%d'):format(sent))
else
  call('HDEL', P .. 'sent', target)
end
save()
return { moved }
