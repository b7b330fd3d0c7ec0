-- What is in a set that is ordered by time, earliest first.
-- KEYS: the set
-- ARGV: time, how many at most
-- Returns {now, member, time, member, time …}
local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1, 'WITHSCORES')
table.insert(found, 1, whole(clock(ARGV[1])))
return found
