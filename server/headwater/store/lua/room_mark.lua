-- Note how far a member has read.
-- KEYS: the room's, its marks, when they were made
-- ARGV: time, member, seq, how many members are noted at most
-- Returns how far it is now
local marks, made = KEYS[8], KEYS[9]
if redis.call('HEXISTS', KEYS[1], 'top') == 0 then
  return 0
end
local seq = whole(math.max(tonumber(redis.call('HGET', marks, ARGV[2]) or '0'), tonumber(ARGV[3])))
local newest = redis.call('ZREVRANGE', made, 0, 0, 'WITHSCORES')[2]
redis.call('ZADD', made, whole(math.max(clock(ARGV[1]), newest and newest + 1 or 0)), ARGV[2])
redis.call('HSET', marks, ARGV[2], seq)
local surplus = redis.call('ZCARD', made) - ARGV[4]
if surplus > 0 then
  local least = redis.call('ZPOPMIN', made, surplus)
  for n = 1, #least, 2 do
    redis.call('HDEL', marks, least[n])
  end
end
return seq
