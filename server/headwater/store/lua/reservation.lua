-- What an idempotency key is reserved for.
-- KEYS: the key
-- ARGV: time
-- Returns {run id, hash}, or nil
local held = redis.call('HMGET', KEYS[1], 'run', 'hash', 'until')
if not held[1] or expired(held[3], clock(ARGV[1])) then
  return nil
end
return {held[1], held[2]}
