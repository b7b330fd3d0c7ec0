-- Forget a reservation of this run, or, if none is named, one that has expired.
-- KEYS: the key
-- ARGV: time, run id or ''
-- Returns how many were forgotten
local held = redis.call('HMGET', KEYS[1], 'run', 'until')
if held[1] and (held[1] == ARGV[2] or ARGV[2] == '' and expired(held[2], clock(ARGV[1]))) then
  return redis.call('DEL', KEYS[1])
end
return 0
