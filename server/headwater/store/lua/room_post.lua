-- Change a room.
-- KEYS: the room's
-- ARGV: time, a turn that must wait and is removed, or '', a change
-- Returns {'stored', position before, position, payload}, {'seen', message}, {'changed'} or {'gone'}
local room, change, turn = room_at(1), change_at(3), ARGV[2]
if not room.top then
  return {'gone'}
end
local no = refused(room, change)
if turn ~= '' and not (no and no[1] == 'stored') and not waits(room, turn) then
  return {'gone'}
end
if no then
  return no
end
local made = make(room, change, clock(ARGV[1]))
if turn ~= '' then
  redis.call('HDEL', room.turns, turn)
end
return made
