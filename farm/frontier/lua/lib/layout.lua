-- layout: where each of the shard's counters stands.
-- They are one string of numbers: reading forty fields of a hash would cost more than the rest of a lease. What
-- changes comes first, so that no call writes the terms of the crawl again. Times are doubles, what is counted takes
-- four bytes: Lua looks at every byte of a string that it is handed.
-- Names in capitals are constants, put in place when a script is composed: Lua would otherwise pay for every
-- one of them, in every function that uses it, at every call.
local REAL, NOW, TOKEN, TAT, DUE_FROM, DELAYED_FROM, BLOOM_ROOM = 1, 2, 3, 4, 5, 6, 7
local ACCEPTED, DELAYED, LEASED, DONE, DEAD, RENDERED, DUPLICATES = 8, 9, 10, 11, 12, 13, 14
local SEEN, DROPPED, EXPIRED, RETRIED, SITES, TURN, BUCKETS = 15, 16, 17, 18, 19, 20, 21
local STATE, OUTBOX, ALLOWED, LENT, GENERATIONS, Q, CHANGING = 22, 23, 24, 25, 26, 27, 36
local VISIBILITY, STEP, CAPACITY, INTERVAL, ALL_INTERVAL, PAIR_INTERVAL, OUT_INTERVAL = 37, 38, 39, 40, 41, 42, 43
local DEDUP, SHARD, SHARDS, LIVES, RUN, BURST = 44, 45, 46, 47, 48, 49
local LIMIT, ALL_LIMIT, PAIR_LIMIT, OUT_LIMIT = 50, 51, 52, 53
local LAYOUT = '<dddddddiiiiiiiiiiiiiiiiiiiiiiiiiiiiidddddddiiiiiiiiii'
local CHANGING_LAYOUT = '<dddddddiiiiiiiiiiiiiiiiiiiiiiiiiiiii'
