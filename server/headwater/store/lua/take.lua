-- Take the lease of a run whose newest token is still the one that was seen and which nobody holds.
-- KEYS: run, log, request
-- ARGV: time, seen, tag, holder, ms, channel, news of its new status
-- Returns {its fields, the body, '1' if who held it before let go of it}, or nil
local now = clock(ARGV[1])
local has = redis.call('HMGET', KEYS[1], 'token', 'lease', 'until', 'status', 'expires', 'started')
if not has[1] or expired(has[5], now) or ended(has[4]) then
  return nil
end
local token = whole(tonumber(ARGV[2]) + 1)
local ours = has[1] == token and has[2] == ARGV[3]
if not ours and (has[1] ~= ARGV[2] or tonumber(has[3]) > now) then
  return nil
end
local till = math.max(tonumber(has[3]), now + tonumber(ARGV[5]))
redis.call('HSET', KEYS[1], 'token', token, 'lease', ARGV[3], 'until', whole(till),
  'holder', ARGV[4], 'status', 'in_progress', 'started', has[6] or whole(now))
redis.call('PUBLISH', ARGV[6], ARGV[7])
local released = not ours and has[1] ~= '0' and has[3] == '0'
return {redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[3]), released and '1' or '0'}
