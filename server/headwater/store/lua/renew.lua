-- Extend a lease that nobody else has taken.
-- KEYS: run
-- ARGV: time, token, ms
-- Returns {'1' if it was cancelled, until}, or nil if the lease is not held
local now = clock(ARGV[1])
local has = redis.call('HMGET', KEYS[1], 'token', 'status', 'cancelled')
if not has[1] or has[1] ~= ARGV[2] or ARGV[2] == '0' or ended(has[2]) then
  return nil
end
local till = whole(now + tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], 'until', till)
return {has[3] or '0', till}
