-- Reserve an idempotency key for a run, unless it is reserved.
-- KEYS: the key
-- ARGV: time, run id, hash of the body, ms to keep it, the reservation that may be replaced, or ''
-- Returns {run id, hash, 'done' or 'open', kept until} of the reservation that counts
local now = clock(ARGV[1])
local held = redis.call('HMGET', KEYS[1], 'run', 'hash', 'state', 'until')
if held[1] and held[1] ~= ARGV[5] and not expired(held[4], now) then
  return {held[1], held[2], held[3], held[4]}
end
redis.call('DEL', KEYS[1])
local till = whole(now + tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'run', ARGV[2], 'hash', ARGV[3], 'state', 'open', 'until', till)
redis.call('PEXPIREAT', KEYS[1], till)
return {ARGV[2], ARGV[3], 'open', till}
