-- Write a run, unless it is there.
-- KEYS: run, log, request
-- ARGV: what `create_run` takes
-- Returns {'fresh', 'first' or 'again' (after one that had expired), its fields, the body}
local now = clock(ARGV[1])
local again = 'fresh'
if redis.call('EXISTS', KEYS[1]) == 1 then
  if not expired(redis.call('HGET', KEYS[1], 'expires'), now) then
    return {'first', redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[3])}
  end
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  again = 'again'
end
create_run(now)
return {again, redis.call('HGETALL', KEYS[1]), ARGV[5]}
