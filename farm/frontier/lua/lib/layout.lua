-- layout: where each of the shard's counters stands.
-- They are one string of numbers: reading forty fields of a hash would cost more than the rest of a lease. First come
-- those that nearly every call changes, then the terms of the crawl, which none does, then the tallies, which are
-- read and written by those alone who need them. Times are doubles, what is counted takes four bytes: Lua looks at
-- every byte of a string that it is handed.
-- Names in capitals are constants, put in place when the library is composed: a function of Lua holds at most sixty
-- variables of others.
local REAL, NOW, TOKEN, TAT, DUE_FROM, DELAYED_FROM = 1, 2, 3, 4, 5, 6
local DELAYED, LEASED, DONE, RENDERED, TURN, STATE, OUTBOX, ALLOWED, SUSPECTS, ALONE, Q = 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17
local VISIBILITY, STEP, CAPACITY, INTERVAL, ALL_INTERVAL, PAIR_INTERVAL, OUT_INTERVAL = 27, 28, 29, 30, 31, 32, 33
local DEDUP, SHARD, SHARDS, LIVES, RUN, BURST = 34, 35, 36, 37, 38, 39
local LIMIT, ALL_LIMIT, PAIR_LIMIT, OUT_LIMIT, SILENCE = 40, 41, 42, 43, 44
local COMMON_LAYOUT, COMMON_COUNT, COMMON_ENDS = '<ddddddiiiiiiiiiiiiiiiiiiiidddddddiiiiiiiiiii', 44, '227'
local CHANGING_LAYOUT, CHANGING_COUNT = '<ddddddiiiiiiiiiiiiiiiiiiii', 26
-- The tallies are counted from 1 again.
local BLOOM_ROOM, ACCEPTED, DEAD, DUPLICATES, SEEN, DROPPED = 1, 2, 3, 4, 5, 6
local EXPIRED, RETRIED, SITES, BUCKETS, LENT, GENERATIONS = 7, 8, 9, 10, 11, 12
local TALLY_LAYOUT, TALLIES_FROM, TALLY_COUNT = '<diiiiiiiiiii', '228', 12
