-- KEYS: run, request
-- ARGV: time
-- Returns {its fields, the body}, or nil
local run = redis.call('HGETALL', KEYS[1])
if not run[1] or expired(redis.call('HGET', KEYS[1], 'expires'), clock(ARGV[1])) then
  return nil
end
return {run, redis.call('GET', KEYS[2])}
