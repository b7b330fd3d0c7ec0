-- Keep what a ticket stands for.
-- KEYS: ticket
-- ARGV: time, payload, ms
local till = whole(clock(ARGV[1]) + tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], 'payload', ARGV[2], 'until', till)
redis.call('PEXPIREAT', KEYS[1], till)
return 1
