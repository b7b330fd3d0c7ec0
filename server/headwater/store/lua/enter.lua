-- Enter something into what is kept of API keys, unless it is there; then there is another version.
-- KEYS: vault
-- ARGV: time, field, value, the field that must be there, or ''
-- Returns 0 if that is not there
if ARGV[4] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[4]) == 0 then
  return 0
end
if redis.call('HSETNX', KEYS[1], ARGV[2], ARGV[3]) == 1 then
  -- Above the last one, and above those that were lost with a failover.
  local last = tonumber(redis.call('HGET', KEYS[1], 'version') or '0') or 0
  redis.call('HSET', KEYS[1], 'version', whole(math.max(last + 1, clock(ARGV[1]))))
end
return 1
