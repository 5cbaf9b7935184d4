"""The breaks that `make mutate` makes in the frontier's scripts, one at a time: a test must notice each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One break: in a file, a text is replaced by another, everywhere."""

    name: str
    file: str
    old: str
    new: str
    first: str
    """The tests that are likely to notice; all are run where they do not."""


MUTATIONS = (
    Mutation(
        "ack without a token",
        "ack.lua",
        "holds(r, ARGV[3], ARGV[4])",
        "holds(r, ARGV[3], r[FENCE])",
        "leases",
    ),
    Mutation(
        "nack without a token",
        "nack.lua",
        "holds(r, ARGV[3], ARGV[4])",
        "holds(r, ARGV[3], r[FENCE])",
        "expiry",
    ),
    Mutation("renew without a token", "renew.lua", "ARGV[i + 2])", "record_of(ARGV[i])[FENCE])", "expiry"),
    Mutation("extend without a token", "extend.lua", "ARGV[3], ARGV[4])", "ARGV[3], r[FENCE])", "expiry"),
    Mutation(
        "no in-flight decrement",
        "lib/lease.lua",
        "s[FLYING] = s[FLYING] - 1",
        "s[FLYING] = s[FLYING]",
        "states",
    ),
    Mutation(
        "no in-flight decrement by address",
        "lib/lease.lua",
        "'f@' .. out, -1)",
        "'f@' .. out, 0)",
        "politeness",
    ),
    Mutation("anything is a link", "lib/links.lua", "not link:find(IS_LINK) and", "false and", "scripts"),
    Mutation("add writes before it checks", "add.lua", "if not news then", "if false then", "scripts"),
    Mutation("ack writes before it checks", "ack.lua", "if not news then", "if false then", "scripts"),
    Mutation(
        "seen is not checked", "ack.lua", "if not ARGV[i]:find(", "if false and ARGV[i]:find(", "scripts"
    ),
    Mutation(
        "nack settles anyhow", "nack.lua", "if not wait or not (", "if not wait or false and not (", "scripts"
    ),
    Mutation("time jumps", "lib/core.lua", "passed > C[STEP] and C[STEP] or passed", "passed", "expiry"),
    Mutation("time goes back", "lib/core.lua", "now = math.max(C[NOW], now)", "now = now", "expiry"),
    Mutation("tokens repeat", "lib/hand_out.lua", "max(C[TOKEN] + 1, micros)", "micros", "expiry"),
    Mutation(
        "an expiry costs an attempt",
        "lib/mishaps.lua",
        "recount(entry, 0, 0, 1)",
        "recount(entry, 1, 0, 1)",
        "states",
    ),
    Mutation("tallies are not kept", "lib/core.lua", "  if T then", "  if false then", "leases"),
    Mutation("poison lives", "lib/mishaps.lua", "expiries >= C[LIVES]", "false", "expiry"),
    Mutation("leases never expire", "lib/lease.lua", "now >= C[DUE_FROM]", "false", "expiry"),
    Mutation(
        "a lease ends with the slot's first",
        "lib/lease.lua",
        "(tonumber(r[UNTIL]) or 0) > now",
        "false",
        "expiry",
    ),
    Mutation("a late settlement is not written down", "ack.lua", "    keep_slot(ARGV[2], r)\n", "", "expiry"),
    Mutation("a slot is not read again", "ack.lua", "    r = record_of(ARGV[2])\n", "", "expiry"),
    Mutation(
        "the id of a lease is not asked", "lib/lease.lua", " and r[ENTRY]:sub(1, 16) == id", "", "leases"
    ),
    Mutation(
        "no deadline for a slot's next lease", "lib/hand_out.lua", "now + C[VISIBILITY]", "now", "states"
    ),
    Mutation("delays never end", "lib/lease.lua", "now >= C[DELAYED_FROM]", "false", "leases"),
    Mutation(
        "a request is forgotten",
        "lib/hand_out.lua",
        "if r[REQUEST] == request then",
        "if false then",
        "leases",
    ),
    Mutation("a slot hoards", "lib/hand_out.lua", "    expire(r)\n", "", "leases"),
    Mutation("a repetition is stale", "ack.lua", "elseif r[SETTLED] == deed", "elseif false", "leases"),
    Mutation(
        "the limit forgets what is leased",
        "lib/hand_out.lua",
        "C[RENDERED] + C[LEASED] >= limit",
        "C[RENDERED] >= limit",
        "leases",
    ),
    Mutation("a pause is ignored", "lib/hand_out.lua", "if C[STATE] ~= 0 then", "if false then", "leases"),
    Mutation(
        "empty too early",
        "lib/hand_out.lua",
        "C[DELAYED] + C[LEASED] + C[OUTBOX] == 0",
        "C[OUTBOX] == 0",
        "leases",
    ),
    Mutation(
        "the outbox is forgotten",
        "lib/hand_out.lua",
        "C[DELAYED] + C[LEASED] + C[OUTBOX]",
        "C[DELAYED] + C[LEASED]",
        "shards",
    ),
    Mutation("no spacing", "lib/throttle.lua", "floor(s[SPACING] * (", "floor(0 * (", "politeness"),
    Mutation(
        "no room counted",
        "lib/site.lua",
        "return s[ROOM] == 0 or s[FLYING] < s[ROOM]",
        "return true",
        "politeness",
    ),
    Mutation(
        "a block is ignored", "lib/site.lua", "at > s[BLOCKED] and at or s[BLOCKED]", "at", "politeness"
    ),
    Mutation(
        "a throttled retry blocks nobody",
        "nack.lua",
        "s[BLOCKED] = math.max(s[BLOCKED], until_ms)",
        "s[BLOCKED] = 0",
        "politeness",
    ),
    Mutation(
        "a blocked address goes out",
        "lib/addresses.lua",
        "tonumber(v[1]) or 0, tonumber(v[2]) or 0)",
        "0, 0)",
        "politeness",
    ),
    Mutation("a pair has no places", "lib/addresses.lua", "C[PAIR_LIMIT] > 0", "false", "politeness"),
    Mutation("an address has no places", "lib/addresses.lua", "C[OUT_LIMIT] > 0", "false", "politeness"),
    Mutation("everything has no places", "lib/throttle.lua", "C[ALL_LIMIT] > 0", "false", "politeness"),
    Mutation(
        "everything has no rate",
        "lib/throttle.lua",
        "C[ALL_INTERVAL] > 0 and C[TAT]",
        "false and C[TAT]",
        "politeness",
    ),
    Mutation("affinity never ends", "lib/hand_out.lua", "r[STAYED] >= C[RUN]", "false", "politeness"),
    Mutation("no affinity", "lib/hand_out.lua", "preferred = s\n", "preferred = nil\n", "leases"),
    Mutation("low priorities starve", "lib/hand_out.lua", "C[TURN] % EVERY == 0", "false", "politeness"),
    Mutation(
        "a site stays ready without work",
        "lib/site.lua",
        "if not bands:find(band, 1, true) then",
        "if false then",
        "leases",
    ),
    Mutation(
        "duplicates are not counted", "lib/links.lua", "given - accepted - foreign", "0 * given", "leases"
    ),
    Mutation(
        "a split loses fingerprints", "lib/seen.lua", "call('SADD', to, unpack(moved, i, last))", "", "seen"
    ),
    Mutation(
        "a split asks the wrong bucket",
        "lib/seen.lua",
        "part = rest % (folds * 2)",
        "part = rest % folds",
        "seen",
    ),
    Mutation(
        "one bit is enough",
        "lib/bloom.lua",
        "BITS_PER_ID, HASHES = 128, 127, 22, 13",
        "BITS_PER_ID, HASHES = 128, 127, 22, 1",
        "seen",
    ),
    Mutation(
        "the server's filter is asked for a link's whole text",
        "lib/seen.lua",
        "is_in_bloom(fingerprint:sub(17, 32), false)",
        "is_in_bloom(fingerprint, false)",
        "server_filter",
    ),
    Mutation("a filter never grows", "lib/bloom.lua", "adds and T[BLOOM_ROOM] <= 0", "false", "seen"),
    Mutation(
        "anything is an entry", "lib/hand_out.lua", "entry and entry:find(IS_ENTRY)", "entry", "entries"
    ),
    Mutation(
        "a dropped letter unbalances",
        "exhume.lua",
        "T[ACCEPTED] - 1, T[DROPPED] + 1",
        "T[ACCEPTED], T[DROPPED]",
        "dead",
    ),
    Mutation(
        "a replay keeps the counts",
        "exhume.lua",
        "entry:sub(1, 17) .. entry:sub((entry:find('[', 18, true)))",
        "entry",
        "dead",
    ),
    Mutation(
        "struck out unread", "outbox.lua", "if struck ~= tonumber(ARGV[4]) then", "if false then", "states"
    ),
    Mutation(
        "a quota is lent twice", "quota.lua", "C[ALLOWED] = C[ALLOWED] - count", "count = count", "shards"
    ),
    Mutation(
        "a crawl is created over another",
        "open.lua",
        "if call('EXISTS', crawl) == 0 then",
        "if true then",
        "crawl",
    ),
    Mutation(
        "an unreadable lease keeps its place",
        "lib/mishaps.lua",
        "if name and site(name)[KNOWN] then",
        "if false then",
        "expiry",
    ),
    Mutation(
        "nack forgets what it buried",
        "nack.lua",
        "  place_sites()\n  save()\n  return r",
        "  return r",
        "expiry",
    ),
    Mutation(
        "extend forgets what it buried",
        "extend.lua",
        "  save()\n  return -1",
        "  return -1",
        "expiry",
    ),
    Mutation(
        "a deleted crawl is worked on", "lib/core.lua", "if stored == '' then", "if false then", "crawl"
    ),
    Mutation("a quota's repetition counts", "quota.lua", "if before then", "if false then", "states"),
    Mutation("a site stays where it was", "lib/site.lua", "stays = not s[MOVED] and", "stays =", "states"),
    Mutation(
        "a full site stays ready",
        "lib/site.lua",
        "and room ==",
        "and true or room ==",
        "states",
    ),
    Mutation(
        "what a node learnt is overwritten",
        "tune.lua",
        "elseif ARGV[4] ~= '' and learnt == ARGV[3] then",
        "elseif ARGV[4] ~= '' then",
        "states",
    ),
    Mutation(
        "a crawl-delay is tuned away",
        "tune.lua",
        "tonumber(call('HGET', key, 'd')) or 0",
        "0",
        "states",
    ),
    Mutation(
        "a crawl-delay speeds up",
        "space.lua",
        "math.max(tonumber(ARGV[3]),",
        "math.min(tonumber(ARGV[3]),",
        "states",
    ),
    Mutation(
        "a visit begins under a block",
        "start.lua",
        "blocked > now and now - blocked or at - now",
        "at - now",
        "states",
    ),
    Mutation(
        "visits begin together", "start.lua", "at = math.max(at, places[i].due - ahead)", "at = now", "states"
    ),
    Mutation("a shorter ban wins", "bans.lua", "tonumber(known:match('^%d+')) < ends", "true", "states"),
    Mutation("bans never end", "bans.lua", "ends and tonumber(ends) > now", "ends", "states"),
)
