#!lua
-- Purpose:   lease the best URL for a slot.
-- Guarantee: a slot holds at most one lease; the same request gets the same lease again; politeness and
--            limits are decided here, for all nodes at once.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time in ms or '' · 2 slot · 3 request · 4 site hint or '' · 5 page limit or 0
--            6 egress address or '' · 7 nonce of three digits · 8 jitter in [0, 1)
--            9 1 when the slot's node holds nothing in other shards
-- Returns:   {'LEASE', token, site, entry} or {'IDLE', reason, come back in ms}; there {..., 'suspect'} where a suspect
--            waits for the slot's node to hold nothing else
begin()
reclaim_due(8)
local r = record_of(ARGV[2])
local reply = dispatch(r, ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9])
reindex_sites()
store_slot(ARGV[2], r)
save()
return reply
