-- layout: where each of the shard's counters stands.
-- They are one string of doubles: reading forty fields of a hash would cost more than the rest of a lease. What
-- changes comes first, so that no call writes the terms of the crawl again.
-- Names in capitals are constants, put in place when a script is composed: Lua would otherwise pay for every
-- one of them, in every function that uses it, at every call.
local REAL, NOW, TOKEN, ACCEPTED, DELAYED, LEASED, DONE, DEAD = 1, 2, 3, 4, 5, 6, 7, 8
local RENDERED, DUPLICATES, SEEN, DROPPED, EXPIRED, RETRIED, SITES = 9, 10, 11, 12, 13, 14, 15
local TURN, BUCKETS, TAT, DUE_FROM, DELAYED_FROM, STATE, Q = 16, 17, 18, 19, 20, 21, 22
local OUTBOX, ALLOWED, LENT, GENERATIONS, BLOOM_ROOM, CHANGING = 32, 33, 34, 35, 36, 36
local DEDUP, SHARD, SHARDS, VISIBILITY, STEP, LIVES, RUN, CAPACITY = 37, 38, 39, 40, 41, 42, 43, 44
local INTERVAL, BURST, LIMIT, ALL_INTERVAL, ALL_LIMIT = 45, 46, 47, 48, 49
local PAIR_INTERVAL, PAIR_LIMIT, OUT_INTERVAL, OUT_LIMIT, COUNTERS = 50, 51, 52, 53, 53
local LAYOUT = '<ddddddddddddddddddddddddddddddddddddddddddddddddddddd'
local CHANGING_LAYOUT = '<dddddddddddddddddddddddddddddddddddd'
