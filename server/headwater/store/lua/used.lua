-- What has been counted in a window.
-- KEYS: window
-- ARGV: time
-- Returns {what has been counted, ms until the window ends}, or nil if there is none
local now = clock(ARGV[1])
local has = redis.call('HMGET', KEYS[1], 'used', 'until')
if not has[2] or expired(has[2], now) then
  return nil
end
return {has[1] + 0, has[2] - now}
