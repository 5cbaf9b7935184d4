-- layout: where each of the shard's counters stands.
-- They are one string of numbers: reading forty fields of a hash would cost more than the rest of a lease. First come
-- those that nearly every call changes, then the terms of the crawl, which none does, then the tallies, which are
-- read and written by those alone who need them. Times are doubles, what is counted takes four bytes: Lua looks at
-- every byte of a string that it is handed. Of links there may be more than four bytes count: these two counts stay
-- at MOST_COUNTED (see `bounds`) then.
-- Names in capitals are constants, put in place when the library is composed: a function of Lua holds at most sixty
-- variables of others.
local REAL, NOW, TOKEN, TAT, DUE_FROM, DELAYED_FROM = 1, 2, 3, 4, 5, 6
local DELAYED, LEASED, DONE, RENDERED, TURN, STATE, OUTBOX, ALLOWED, SUSPECTS, ALONE, FULL, Q = 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18
local VISIBILITY, STEP, CAPACITY, INTERVAL, ALL_INTERVAL, PAIR_INTERVAL, OUT_INTERVAL = 28, 29, 30, 31, 32, 33, 34
local DEDUP, SHARD, SHARDS, LIVES, RUN, BURST = 35, 36, 37, 38, 39, 40
local LIMIT, ALL_LIMIT, PAIR_LIMIT, OUT_LIMIT, SILENCE, MAX_QUEUED, SITE_QUEUED = 41, 42, 43, 44, 45, 46, 47
local COMMON_LAYOUT, COMMON_COUNT, COMMON_ENDS = '<ddddddiiiiiiiiiiiiiiiiiiiiidddddddiiiiiiiiiiiii', 47, '239'
-- Where the two terms stand that shards lend to each other.
local ALL_INTERVAL_FROM, ALL_LIMIT_FROM = '164', '216'
local CHANGING_LAYOUT, CHANGING_COUNT = '<ddddddiiiiiiiiiiiiiiiiiiiii', 27
-- The tallies are counted from 1 again.
local BLOOM_ROOM, ACCEPTED, DEAD, DUPLICATES, SEEN, DROPPED = 1, 2, 3, 4, 5, 6
local EXPIRED, RETRIED, SITES, BUCKETS, LENT, GENERATIONS, LEFT_OUT = 7, 8, 9, 10, 11, 12, 13
local TALLY_LAYOUT, TALLIES_FROM, TALLY_COUNT = '<diiIiiiiiiiiI', '240', 13
