-- Before the scripts that read messages: the newest below a score, newest first, as stored.
local function messages(room, below, limit)
  local ids = redis.call('ZREVRANGEBYSCORE', room.order, below, '-inf', 'LIMIT', 0, limit)
  return ids[1] and redis.call('HMGET', room.posts, unpack(ids)) or {}
end
