-- Accept a cancel: tell the holder, or, where nobody holds the run, write its end.
-- KEYS: run, log, request
-- ARGV: time, tag, payload of the end, ms until what ended expires, channel, worker,
--       beginning of the workers' channels, news for the holder
-- Returns {its fields, the body, position before the end that is this cancel's, or nil}, 'moved' (see room_end.lua),
--         or nil
local run, log = KEYS[1], KEYS[2]
local now = clock(ARGV[1])
local has = redis.call('HMGET', run, 'top', 'status', 'until', 'expires', 'holder')
local top = has[1]
if not top or expired(has[4], now) then
  return nil
end

local function answer(after)
  return {redis.call('HGETALL', run), redis.call('GET', KEYS[3]), after}
end

if ended(has[2]) then
  if tag_of(top) ~= ARGV[2] then
    return answer(false)
  end
  local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 2)
  return answer(newest[2] and newest[2][1] or '0-0')
end
redis.call('HSET', run, 'cancelled', '1')
if tonumber(has[3]) > now then
  redis.call('PUBLISH', ARGV[7] .. has[5], ARGV[8])
  return answer(false)
end
if room_end and room_end.moved(top) then
  return 'moved'
end
local position = whole(seq_of(top) + 1) .. '-' .. ARGV[2]
local expires = whole(now + tonumber(ARGV[4]))
redis.call('XADD', log, position, 'p', ARGV[3])
redis.call('HSET', run, 'top', position, 'status', 'cancelled', 'ended', whole(now), 'expires', expires,
  'until', '0')
expire_at(expires, run, log, KEYS[3])
redis.call('PUBLISH', ARGV[5], 'e ' .. ARGV[6] .. ' ' .. top .. ' ' .. position .. ' ' .. ARGV[3])
if room_end then
  room_end.write(position, now)
end
return answer(top)
