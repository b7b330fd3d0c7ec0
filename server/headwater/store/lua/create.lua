-- Write a run, unless it is there.
-- KEYS: run, log, request
-- ARGV: time, owner, model, conversation or '', body, key of its idempotency key or '',
--       and of a claim, each '' without one: tag, ms, holder; who asked for it
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
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'caller', ARGV[10], 'model', ARGV[3], 'key', ARGV[6], 'created', whole(now),
  'status', 'queued', 'token', '0', 'lease', '0', 'until', '0', 'top', '0-0')
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'conversation', ARGV[4])
end
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[1], 'status', 'in_progress', 'started', whole(now), 'token', '1', 'lease', ARGV[7],
    'until', whole(now + tonumber(ARGV[8])), 'holder', ARGV[9])
end
redis.call('SET', KEYS[3], ARGV[5])
return {again, redis.call('HGETALL', KEYS[1]), ARGV[5]}
