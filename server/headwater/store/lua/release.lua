-- Let another take the run at once.
-- KEYS: run
-- ARGV: token
-- Returns 1 if it was held
local has = redis.call('HMGET', KEYS[1], 'token', 'status')
if has[1] ~= ARGV[1] or ended(has[2]) then
  return 0
end
redis.call('HSET', KEYS[1], 'until', '0')
return 1
