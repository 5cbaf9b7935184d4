-- nodes: which node a slot belongs to, and whether that node may lease anything beside a suspect.
-- A slot belongs to the node whose name stands before its last slash.
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
