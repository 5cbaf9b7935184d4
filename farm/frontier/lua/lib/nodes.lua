-- nodes: which node a slot belongs to, whether that node may lease anything beside a suspect, and which nodes are gone.
-- A slot belongs to the node whose name stands before its last slash. A process of a node is a node of its own here,
-- named NODE/NUMBER.
local MOST_GONE = 200

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
local function isolate_node(slot)
  call('HSET', P .. 'alone', node_of(slot), slot)
  C[ALONE] = C[ALONE] + 1
end

local function end_isolation(slot)
  if C[ALONE] > 0 and call('HGET', P .. 'alone', node_of(slot)) == slot then
    call('HDEL', P .. 'alone', node_of(slot))
    C[ALONE] = C[ALONE] - 1
  end
end

-- Keep what is known of a node that is at work no more; of those only the last ones are kept.
local function note_gone(node, state, known)
  call('HSET', P .. 'gone', node, state .. ' ' .. known)
  call('ZADD', P .. 'left', ('%d'):format(now), node)
  if call('ZCARD', P .. 'left') > MOST_GONE then
    local oldest = call('ZRANGE', P .. 'left', '0', '0')[1]
    call('ZREM', P .. 'left', oldest)
    call('HDEL', P .. 'gone', oldest)
  end
end

-- Forget that a node was gone, and return what was known of it.
local function recall(node)
  local known = call('HGET', P .. 'gone', node)
  if known then
    call('HDEL', P .. 'gone', node)
    call('ZREM', P .. 'left', node)
  end
  return known and known:match('^%S+ (.*)$')
end

-- Whether somebody has asked that the node, or the one whose process it is, ends.
local function is_drained(node)
  return call('SISMEMBER', P .. 'drained', node:match('^(.-)/') or node) == 1
end
