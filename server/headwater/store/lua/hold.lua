-- Take a place, unless all are taken by others.
-- KEYS: places
-- ARGV: time, member, how many there are, ms
-- Returns 1 if it is held
local now = clock(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now))
if not redis.call('ZSCORE', KEYS[1], ARGV[2]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('ZADD', KEYS[1], whole(now + tonumber(ARGV[4])), ARGV[2])
expire_with_last(KEYS[1])
return 1
