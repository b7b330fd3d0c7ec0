-- Enter something into a set that is ordered by time, unless it is there.
-- KEYS: the set
-- ARGV: time, member, ms from now
return redis.call('ZADD', KEYS[1], 'NX', whole(clock(ARGV[1]) + tonumber(ARGV[3])), ARGV[2])
