-- A room's log after a position.
-- KEYS: the room's
-- ARGV: seq, tag, bytes after which no further entry is read
-- Returns {top, '1' if the position joins, {position, payload, position, payload …}}, or nil
local room, seq = room_at(1), tonumber(ARGV[1])
if not room.top then
  return nil
end
if not joins(room, seq, ARGV[2]) then
  return {room.top, '0', {}}
end
return {room.top, '1', rows(room.log, seq, room.seq, tonumber(ARGV[3]))}
