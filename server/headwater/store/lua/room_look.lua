-- What the end of a room's run is made of, but for the run's output.
-- KEYS: run, log, request, the room's
-- ARGV: time, the answer's message
-- Returns {now, top of the run's log or '', room or '', the message's version or '0-0', its body or ''}
local has = redis.call('HMGET', KEYS[1], 'top', 'room')
local found, old = pcall(function()
  return message(room_at(4), ARGV[2])
end)
old = found and old
return {whole(clock(ARGV[1])), has[1] or '', has[2] or '', old and old.version or '0-0', old and old.body or ''}
