-- nodes: which nodes are at work, and what becomes of the leases of one that is not.
-- A slot belongs to the node whose name stands before its last slash. A node is registered in every shard, and each
-- shard judges by its own virtual clock, which stands still while nobody can reach it: so an outage kills no node.
-- Slots of a node that never registered are left to the deadlines of their leases.
local function node_of(slot)
  return slot:match('^(.*)/[^/]*$') or slot
end

-- Whether a slot's node holds no lease but the slot's own.
local function is_alone(slot)
  local node = node_of(slot)
  for _, other in ipairs(C[LEASED] > 0 and call('ZRANGE', P .. 'due', '0', '-1') or {}) do
    if other ~= slot and node_of(other) == node then
      return false
    end
  end
  return true
end

-- From now on the slot's node is leased nothing else.
local function refuse_company(slot)
  call('HSET', P .. 'alone', node_of(slot), slot)
  C[ALONE] = C[ALONE] + 1
end

local function admit_company(slot)
  if C[ALONE] > 0 and call('HGET', P .. 'alone', node_of(slot)) == slot then
    call('HDEL', P .. 'alone', node_of(slot))
    C[ALONE] = C[ALONE] - 1
  end
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

-- Takes back leases of the node that has been silent for longest, if that is too long.
local function bury_silent(most)
  local silent = call('ZRANGE', P .. 'nodes', '-inf', ('%d'):format(now - C[SILENCE]), 'BYSCORE', 'LIMIT', '0', '1')[1]
  if not silent then
    return 0
  end
  local taken = take_back(silent, most, true)
  if taken < most then
    call('ZREM', P .. 'nodes', silent)
    call('HDEL', P .. 'node', silent)
  end
  return taken
end
