-- Let go of what a room has too much of, or has too long.
-- KEYS: the room's
-- ARGV: time
-- Returns {1 if there was any, when there may be more, or '' if nothing grows too old here}
local room, now = room_at(1), clock(ARGV[1])
if not room.top or not room.age then
  return {0, ''}
end
local gone = trim(room, now)
local oldest = redis.call('XRANGE', room.log, '-', '+', 'COUNT', 1)[1]
return {gone and 1 or 0, whole((oldest and oldest[2][4] or now) + room.age)}
