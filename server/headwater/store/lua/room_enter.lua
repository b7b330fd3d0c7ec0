-- What one who comes in gets.
-- KEYS: the room's, its marks
-- ARGV: seq, tag, bytes after which no further entry is read, messages of a page
-- Returns {fields, '1' if the position joins, {position, payload …}, {message …}, {turn, its answer's message …},
--          {member, seq …}}, or nil
local room, seq = room_at(1), tonumber(ARGV[1])
if not room.top then
  return nil
end
local entries, page, open = {}, {}, {}
local joined = joins(room, seq, ARGV[2])
if joined then
  entries = rows(room.log, seq, room.seq, tonumber(ARGV[3]))
else
  page = messages(room, '+inf', ARGV[4])
end
local of = {}
for _, turn in ipairs(redis.call('HVALS', room.turns)) do
  local began = string.match(turn, '^%d+ (%d+%-%d+) ')
  if began then
    of[seq_of(began)] = turn
  end
end
local answers = redis.call('ZRANGE', room.open, 0, -1, 'WITHSCORES')
for n = 1, #answers, 2 do
  local turn, post = of[tonumber(answers[n + 1])], redis.call('HGET', room.posts, answers[n])
  if turn and post then
    open[#open + 1] = turn
    open[#open + 1] = post
  end
end
return {redis.call('HGETALL', room.meta), joined and '1' or '0', entries, page, open, redis.call('HGETALL', KEYS[8])}
