-- Who holds places, the next to expire first, and for how long yet.
-- KEYS: places
-- ARGV: time
-- Returns {member, ms, member, ms …}
local now = clock(ARGV[1])
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(now), '+inf', 'WITHSCORES')
for index = 2, #found, 2 do
  found[index] = whole(tonumber(found[index]) - now)
end
return found
