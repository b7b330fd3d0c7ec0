-- Remove a run that has expired, or, if it is meant, one that has ended.
-- KEYS: run, log, request
-- ARGV: time, '1' to remove one that has only ended
-- Returns {'removed', owner, conversation, key of its idempotency key}, or {'absent'}, {'expired'} (and removed),
--         {'living'}, or {status} of one that has not ended
local has = redis.call('HMGET', KEYS[1], 'status', 'expires', 'owner', 'conversation', 'key')
local status = has[1]
if not status then
  redis.call('DEL', KEYS[2], KEYS[3])
  return {'absent'}
end
if expired(has[2], clock(ARGV[1])) then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  return {'expired', has[3], has[4], has[5]}
end
if ARGV[2] ~= '1' then
  return {'living'}
end
if not ended(status) then
  return {status}
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return {'removed', has[3], has[4], has[5]}
