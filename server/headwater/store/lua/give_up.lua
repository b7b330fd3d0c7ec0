-- End a run that cannot be produced, though its log may be able to take no entry.
-- KEYS: run, log, request
-- ARGV: time, seen, tag, payload of the end, its status, ms until what ended expires, channel, worker
-- Returns {position before the end, owner, conversation, expiry}, 'moved' (see room_end.lua), or nil
local run, log = KEYS[1], KEYS[2]
local now = clock(ARGV[1])
local has = redis.call('HMGET', run, 'top', 'status', 'until', 'expires', 'token', 'owner', 'conversation', 'lease')
local top = has[1]
if not top or expired(has[4], now) then
  return nil
end
if ended(has[2]) then
  if tag_of(top) ~= ARGV[3] then
    return nil
  end
  local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 2)
  return {newest[2] and newest[2][1] or '0-0', has[6], has[7], has[4]}
end
local held = tonumber(has[3]) > now
if not (held and has[8] == ARGV[3]) and (held or has[5] ~= ARGV[2]) then
  return nil
end
if room_end and room_end.moved(top) then
  return 'moved'
end
local position = whole(seq_of(top) + 1) .. '-' .. ARGV[3]
local expires = whole(now + tonumber(ARGV[6]))
redis.pcall('XADD', log, position, 'p', ARGV[4])
redis.call('HSET', run, 'top', position, 'status', ARGV[5], 'ended', whole(now), 'expires', expires, 'until', '0')
expire_at(expires, run, log, KEYS[3])
redis.call('PUBLISH', ARGV[7], 'e ' .. ARGV[8] .. ' ' .. top .. ' ' .. position .. ' ' .. ARGV[4])
if room_end then
  room_end.write(position, now)
end
return {top, has[6], has[7], expires}
