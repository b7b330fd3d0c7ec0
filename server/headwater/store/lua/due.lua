-- The members of a set whose time has come, earliest first.
-- KEYS: the set
-- ARGV: time, how many at most
-- Returns {now, member, time, member, time …}
local now = whole(clock(ARGV[1]))
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
table.insert(found, 1, now)
return found
