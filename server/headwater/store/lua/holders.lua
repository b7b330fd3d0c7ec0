-- Who holds places, the next to expire first.
-- KEYS: places
-- ARGV: time
-- Returns {member, member …}
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(clock(ARGV[1])), '+inf')
