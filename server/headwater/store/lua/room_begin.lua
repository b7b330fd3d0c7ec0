-- Open a turn that waits: create its run, and say so in the room.
-- KEYS: run, log, request, the room's
-- ARGV: what `create_run` takes, then: turn, how many may be open, a change
-- Returns {'begun', its fields, the body, position before, position, payload}, {'busy'} or {'gone'}
local turn, most = ARGV[RUN_ARGS + 2], ARGV[RUN_ARGS + 3] + 0
local room, change = room_at(4), change_at(RUN_ARGS + 4)
if not room.top then
  return {'gone'}
end

local function begun(before, position, payload)
  return {'begun', redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[3]), before, position, payload}
end

local no = refused(room, change)
if no and no[1] == 'stored' then
  return begun(unpack(no, 2))
end
local number, body = waits(room, turn)
if no or not number or redis.call('EXISTS', KEYS[1]) == 1 then
  return {'gone'}
end
if room.begun >= most then
  return {'busy'}
end
local now = clock(ARGV[1])
local _, before, position, payload = unpack(make(room, change, now))
redis.call('HSET', room.turns, turn, number .. ' ' .. position .. ' ' .. body)
redis.call('ZADD', room.open, whole(seq_of(position)), change.made)
redis.call('DEL', KEYS[2], KEYS[3])
create_run(now)
return begun(before, position, payload)
