-- slot: a slot's last settlement, its last request and what came of it. This is what makes a repeated call
-- harmless: the same request finds the same lease, the same deed is known to be done.
local SETTLED, REQUEST, HELD, FENCE, AT, STAYED = 1, 2, 3, 4, 5, 6
local SLOT_LIFE_S = '86400'

local me = { (call('GET', P .. 'slot:' .. ARGV[2]) or '\n\n\n\n\n0')
  :match('^([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n(%d+)$') }
if not me[STAYED] then
  me = { '', '', '', '', '', 0 }
end

local function settle(id, deed)
  me[SETTLED] = deed
  if me[HELD] == id then
    me[HELD], me[FENCE] = '', ''
  end
end

local function save_slot()
  call('SET', P .. 'slot:' .. ARGV[2], table.concat(me, '\n'), 'EX', SLOT_LIFE_S)
end
