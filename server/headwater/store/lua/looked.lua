-- Something was looked at: when it is to be again, or '' for never; unless its place in the set has become another.
-- KEYS: the set
-- ARGV: member, its place as it was, time or ''
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1') ~= tonumber(ARGV[2]) then
  return 0
end
if ARGV[3] == '' then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
