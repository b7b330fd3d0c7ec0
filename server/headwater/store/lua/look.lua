-- Have something looked at, however lately it was: its place in a set that is ordered by time becomes another.
-- KEYS: the set
-- ARGV: time, member
local now = clock(ARGV[1])
local at = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]) or '0')
redis.call('ZADD', KEYS[1], whole(at >= now and at < now + 1000 and at + 1 or now), ARGV[2])
