-- Put one entry on top of a run's log, and tell who listens.
-- KEYS: run, log, request
-- ARGV: time, token, after, position, payload, head of the news, channel,
--       '1' if the entry is nothing but a cancelled end, the status of the end in it or '', ms until what ended expires
-- Returns 'stored', 'moved' (see room_end.lua), or {outcome, top, cancelled, and of a stored end: owner, conversation, expiry}
local run, log = KEYS[1], KEYS[2]
local token, after, position, payload = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local has = redis.call('HMGET', run, 'token', 'top', 'status', 'cancelled')
local top = has[2]

local function write()
  redis.call('XADD', log, position, 'p', payload)
  redis.call('HSET', run, 'top', position)
  redis.call('PUBLISH', ARGV[7], ARGV[6] .. payload)
end

-- Nearly always; all that follows would say so, too.
if has[1] == token and top == after and has[3] == 'in_progress' and not has[4] and ARGV[9] == '' then
  write()
  return 'stored'
end

local now = clock(ARGV[1])
if not top or expired(redis.call('HGET', run, 'expires'), now) then
  return {'gone', '0-0', 0}
end
local cancelled = has[4] and 1 or 0
local seq = seq_of(position)
if seq <= seq_of(top) and tag_of(covering(log, seq) or '') == tag_of(position) then
  return {'stored', top, cancelled}
end
if ended(has[3]) then
  return {'ended', top, cancelled}
end
if has[1] ~= token or token == '0' then
  return {'fenced', top, cancelled}
end
if cancelled == 1 and ARGV[8] ~= '1' then
  return {'cancelled', top, cancelled}
end
if top ~= after then
  return {'behind', top, cancelled}
end
if room_end and room_end.moved(top) then
  return 'moved'
end
write()
if ARGV[9] == '' then
  return {'stored', position, cancelled}
end
local expires = whole(now + tonumber(ARGV[10]))
redis.call('HSET', run, 'status', ARGV[9], 'ended', whole(now), 'expires', expires, 'until', '0')
expire_at(expires, run, log, KEYS[3])
if room_end then
  room_end.write(position, now)
end
local whose = redis.call('HMGET', run, 'owner', 'conversation')
return {'stored', position, cancelled, whose[1], whose[2], expires}
