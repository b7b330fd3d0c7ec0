-- Forget a reservation of this run, or one that has expired.
-- KEYS: the key
-- ARGV: time, run id or ''
-- Returns how many were forgotten
local held = redis.call('HMGET', KEYS[1], 'run', 'until')
if held[1] == ARGV[2] or expired(held[2], clock(ARGV[1])) then
  return redis.call('DEL', KEYS[1])
end
return 0
