-- Before the scripts that write the end of a run, where that is a room's: the end enters the room's log in the same step.
-- KEYS: run, log, request, the room's
-- ARGV: the script's own, then: the top of the run's log as it was when the rest was made, the answer's message,
--       its version or '0-0', what it becomes or '' if it is gone or damaged, turn, payload, worker, channel
-- The script returns 'moved' where the end would be written, but was made of what is no more so.
room_end = {}
room_end.top, room_end.id, room_end.version, room_end.body, room_end.turn, room_end.payload, room_end.worker,
  room_end.channel = unpack(ARGV, #ARGV - 7)

-- The room if it is there and sound: whatever has become of it, its runs end.
local found, room = pcall(room_at, 4)
if not found or not room.top then
  room = nil
end

function room_end.moved(top)
  local old = room and message(room, room_end.id)
  return top ~= room_end.top or room and (old and old.version or '0-0') ~= room_end.version
end

function room_end.write(position, now)
  if not room then
    return
  end
  local known = redis.call('HDEL', room.turns, room_end.turn) + redis.call('ZREM', room.open, room_end.id)
  local here = whole(room.seq + 1) .. '-' .. tag_of(position)
  local old = message(room, room_end.id)
  if known == 0 and not old or not pcall(add, room, here, room_end.payload, now) then
    return
  end
  if old and room_end.body ~= '' then
    keep(room, room_end.id, room_end.body, here, old.created, old.once)
  end
  tell(room, room_end.channel, room_end.worker, here, room_end.payload)
  room.seq = room.seq + 1
  trim(room, now)
end
