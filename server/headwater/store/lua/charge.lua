-- Count in a window, which begins if there is none, unless that would exceed its limit.
-- KEYS: window
-- ARGV: time, cost, limit or '', ms that a new window lasts
-- Returns {1 if it was counted, what has been counted, ms until the window ends, 0 if there is none}
local now = clock(ARGV[1])
local has = redis.call('HMGET', KEYS[1], 'used', 'until')
local running = has[2] and not expired(has[2], now)
local used = running and has[1] + 0 or 0
local till = running and tonumber(has[2]) or now
if ARGV[3] ~= '' and used + tonumber(ARGV[2]) > tonumber(ARGV[3]) then
  return {0, used, till - now}
end
if running then
  return {1, redis.call('HINCRBY', KEYS[1], 'used', ARGV[2]), till - now}
end
till = now + tonumber(ARGV[4])
redis.call('HSET', KEYS[1], 'used', ARGV[2], 'until', whole(till))
redis.call('PEXPIREAT', KEYS[1], whole(till))
return {1, tonumber(ARGV[2]), till - now}
