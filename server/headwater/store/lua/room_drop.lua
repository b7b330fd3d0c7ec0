-- Remove a turn that waits.
-- KEYS: the room's
-- ARGV: turn
-- Returns 1 if it waited
local room = room_at(1)
if not waits(room, ARGV[1]) then
  return 0
end
return redis.call('HDEL', room.turns, ARGV[1])
