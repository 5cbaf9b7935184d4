-- lease: who holds what, until when; what a slot did last; how a lease comes back by itself.
local function held(id)
  local record = call('HGET', P .. 'lease', id)
  if not record then
    return nil
  end
  local token, slot, site_name, egress, entry = match(record, '^(%d+)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$')
  return { id = id, token = token, slot = slot, site = site_name, egress = egress, entry = entry }
end

local function let_go(lease)
  call('HDEL', P .. 'lease', lease.id)
  call('ZREM', P .. 'due', lease.id)
  local s = site(lease.site)
  s.flying = s.flying - 1
  bump('leased', -1)
  return s
end

-- A slot's last settlement, last request and what came of it: what makes a repeated call harmless.
local SLOT_LIFE_S = 86400

local function slot_state(name)
  local record = call('GET', P .. 'slot:' .. name)
  if not record then
    return { name = name, settled = '', request = '', id = '', token = '', site = '', run = 0 }
  end
  local settled, request, id, token, site_name, run =
    match(record, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n(%d+)$')
  return {
    name = name, settled = settled or '', request = request or '', id = id or '', token = token or '',
    site = site_name or '', run = tonumber(run) or 0,
  }
end

local function save_slot(me)
  local record = table.concat({ me.settled, me.request, me.id, me.token, me.site, me.run }, '\n')
  call('SET', P .. 'slot:' .. me.name, record, 'EX', SLOT_LIFE_S)
end

-- A lease whose holder is gone: it costs a life, not an attempt.
local function expire(lease)
  local s = let_go(lease)
  bump('expired', 1)
  local e = parse(lease.entry)
  if not e then
    bury(lease.site, lease.id, lease.entry, 'corrupt', 'the entry cannot be read')
    return
  end
  e.expiries = e.expiries + 1
  if e.expiries >= C.lives then
    bury(lease.site, e.id, compose(e), 'worker_died', 'its lease expired ' .. e.expiries .. ' times')
  else
    enqueue(s, compose(e), true)
  end
end

-- At most `most` due entries; needs no leader, since every call brings a few of them home.
local function bring_home(most)
  local moved = 0
  if C.leased > 0 then
    for _, id in ipairs(call('ZRANGE', P .. 'due', '-inf', now, 'BYSCORE', 'LIMIT', 0, most)) do
      local lease = held(id)
      if lease then
        expire(lease)
      else
        call('ZREM', P .. 'due', id)
      end
      moved = moved + 1
    end
  end
  if C.delayed > 0 and moved < most then
    local due = call('ZRANGE', P .. 'delayed', '-inf', now, 'BYSCORE', 'LIMIT', 0, most - moved)
    for _, member in ipairs(due) do
      local break_at = find(member, '\n', 1, true)
      call('ZREM', P .. 'delayed', member)
      bump('delayed', -1)
      enqueue(site(sub(member, 1, break_at - 1)), sub(member, break_at + 1), false)
      moved = moved + 1
    end
  end
  return moved
end
