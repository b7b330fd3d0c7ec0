-- Enter a run into its owner's lists, as the newest; no two are of one instant.
-- KEYS: the owner's runs, and those of the conversation, if it has one
-- ARGV: time, run id, '1' to enter it anew though it is there
if ARGV[3] ~= '1' and redis.call('ZSCORE', KEYS[1], ARGV[2]) then
  return 0
end
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local at = clock(ARGV[1])
if newest[2] and tonumber(newest[2]) >= at then
  at = tonumber(newest[2]) + 1
end
for _, list in ipairs(KEYS) do
  redis.call('ZADD', list, whole(at), ARGV[2])
end
return 1
