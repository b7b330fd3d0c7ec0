-- Make a room, if there is none; or set it anew, if that is meant.
-- KEYS: the room's, its marks, when they were made
-- ARGV: time, settings, events to keep, bytes to keep, ms to keep them or '', '1' to set it anew
-- Returns {1 if it is new, its fields}
local meta = KEYS[1]
local fresh = redis.call('HEXISTS', meta, 'top') == 0
if fresh then
  redis.call('DEL', unpack(KEYS)) -- what was left of one that was lost
  redis.call('HSET', meta, 'created', whole(clock(ARGV[1])), 'top', '0-0', 'trimmed', '0-0', 'bytes', '0')
end
if fresh or ARGV[6] == '1' then
  redis.call('HSET', meta, 'settings', ARGV[2], 'keep', ARGV[3], 'keep_bytes', ARGV[4], 'age', ARGV[5])
end
return {fresh and 1 or 0, redis.call('HGETALL', meta)}
