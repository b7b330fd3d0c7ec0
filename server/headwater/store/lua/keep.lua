-- Keep places, also those that had expired.
-- KEYS: places
-- ARGV: time, ms, member, member …
local till = whole(clock(ARGV[1]) + tonumber(ARGV[2]))
for n = 3, #ARGV do
  redis.call('ZADD', KEYS[1], till, ARGV[n])
end
expire_with_last(KEYS[1])
return 1
