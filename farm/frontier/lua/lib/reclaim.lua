-- reclaim: how delayed URLs, expired leases and the leases of dead nodes go back to their queues.
-- A node is registered in every shard, and each shard judges by its own virtual clock, which stands still while no node
-- can reach it: so an outage kills none. Slots of a node that never registered are left to the deadlines of their
-- leases.
-- Uses: core (tallies, head_of), failures (recount, bury_unreadable, bury, note_failure), lease (release,
--       record_of), nodes (node_of, note_gone), queue (enqueue)

-- A lease whose holder is gone. It costs no attempt, and a life only where the URL was leased alone. Others come first.
local function expire(r)
  tallies()
  local s, entry = release(r)
  local again, deaths = recount(entry, 0, 0, 1)
  T[EXPIRED] = T[EXPIRED] + 1
  if not again then
    bury_unreadable(s[NAME], entry, 'the entry cannot be read')
    return
  end
  local visit = '{"reason":"worker_died","detail":"its node died","node":%s}'
  note_failure(again:sub(1, 16), visit:format(cjson.encode(node_of(r[SLOT]))))
  if deaths >= SUSPECT_DEATHS + C[LIVES] then
    bury(s[NAME], again:sub(1, 16), again, 'worker_died', 'its node died ' .. C[LIVES] .. ' times with nothing else leased')
  else
    enqueue(s[NAME], again, 'RPUSH')
  end
end

-- A lease whose holder went away without fault.
local function give_back(r)
  local s, entry = release(r)
  if entry:find(IS_ENTRY) then
    enqueue(s[NAME], entry, 'LPUSH')
  else
    bury_unreadable(s[NAME], entry, 'the entry cannot be read')
  end
end

-- At most `most` due entries; needs no leader, since every call reclaims a few of them. Nothing is asked of
-- Redis before the time at which something can be due.
local function reclaim_due(most)
  local moved = 0
  if C[LEASED] > 0 and now >= C[DUE_FROM] then
    local slots = call('ZRANGE', P .. 'due', '-inf', ('%d'):format(now), 'BYSCORE', 'LIMIT', '0', most)
    for _, slot in ipairs(slots) do
      local r = record_of(slot)
      if r[HAD] and (tonumber(r[UNTIL]) or 0) > now then
        call('ZADD', P .. 'due', r[UNTIL], slot)
      else
        if r[HAD] then
          expire(r)
        end
        -- A slot that was silent that long is considered dead, and its record is deleted.
        call('HDEL', P .. 'slot', slot)
        call('ZREM', P .. 'due', slot)
      end
    end
    C[DUE_FROM] = math.min(head_of(P .. 'due'), now + C[VISIBILITY])
    moved = #slots
  end
  if C[DELAYED] > 0 and now >= C[DELAYED_FROM] and moved < most then
    local members = call('ZRANGE', P .. 'delayed', '-inf', ('%d'):format(now), 'BYSCORE', 'LIMIT', '0', most - moved)
    for _, member in ipairs(members) do
      local name, entry = member:match('^([^\n]+)\n(.*)$')
      call('ZREM', P .. 'delayed', member)
      if entry and entry:find(IS_ENTRY) then
        enqueue(name, entry, 'RPUSH')
      else
        bury_unreadable(name or '', entry or member, 'the entry cannot be read')
      end
    end
    C[DELAYED] = C[DELAYED] - #members
    C[DELAYED_FROM] = head_of(P .. 'delayed')
    moved = moved + #members
  end
  return moved
end

-- Takes back at most `most` leases of a node; returns how many. A settlement that still comes finds no record, which
-- makes it STALE.
local function take_back(node, most, died)
  local taken = 0
  for _, slot in ipairs(call('ZRANGE', P .. 'due', '0', '-1')) do
    if taken >= most then
      break
    end
    if node_of(slot) == node then
      local r = record_of(slot)
      if r[HAD] and died then
        expire(r)
      elseif r[HAD] then
        give_back(r)
      end
      call('HDEL', P .. 'slot', slot)
      call('ZREM', P .. 'due', slot)
      taken = taken + 1
    end
  end
  return taken
end

-- Deletes the records of a node's slots: each life of a node has slots of its own, and would leave them for ever.
local function forget_slots(node)
  local pattern, cursor = node:gsub('[%*%?%[%]%\\]', '\\%0') .. '/*', '0'
  repeat
    local page = call('HSCAN', P .. 'slot', cursor, 'MATCH', pattern, 'COUNT', '1000')
    cursor = page[1]
    for i = 1, #page[2], 2 do
      -- The pattern fits the slots of its processes too, which are nodes of their own.
      if node_of(page[2][i]) == node then
        call('HDEL', P .. 'slot', page[2][i])
      end
    end
  until cursor == '0'
end

-- Takes back leases of the node that has been silent for longest, if that is too long.
local function bury_silent(most)
  local silent = call('ZRANGE', P .. 'nodes', '-inf', ('%d'):format(now - C[SILENCE]), 'BYSCORE', 'LIMIT', '0', '1')[1]
  if not silent then
    return 0
  end
  local taken = take_back(silent, most, true)
  if taken < most then
    forget_slots(silent)
    note_gone(silent, 'lost', call('HGET', P .. 'node', silent) or '')
    call('ZREM', P .. 'nodes', silent)
    call('HDEL', P .. 'node', silent)
  end
  return taken
end
