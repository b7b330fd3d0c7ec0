-- Before each script on a room, after the prelude. A message is stored as 'created version n <once><body>', n being the
-- length of what it used once; a turn as 'number began body', with '0-0' before it began.

-- Entries that are trimmed in one step at most: about a millisecond of Redis's one thread. More goes with the next: as
-- each adds but one entry, no log stays beyond its limits, whatever the sizes.
local TRIMMED = 200

-- A room's keys, the first of which is the nth. What lies there is asked of each, so that a script that finds something
-- foreign fails before it has written.
local function room_at(n)
  local room = {
    meta = KEYS[n], log = KEYS[n + 1], posts = KEYS[n + 2], order = KEYS[n + 3], once = KEYS[n + 4],
    turns = KEYS[n + 5], open = KEYS[n + 6],
  }
  redis.call('HLEN', room.posts)
  redis.call('XLEN', room.log)
  redis.call('ZCARD', room.order)
  redis.call('HLEN', room.once)
  redis.call('HLEN', room.turns)
  room.begun = redis.call('ZCARD', room.open)
  local has = redis.call('HMGET', room.meta, 'top', 'trimmed', 'keep', 'age', 'keep_bytes', 'bytes')
  room.top, room.trimmed = has[1], has[2]
  if room.top then
    room.seq, room.gone, room.keep, room.age = seq_of(has[1]) + 0, seq_of(has[2]) + 0, has[3] + 0, tonumber(has[4])
    room.keep_bytes, room.bytes = has[5] + 0, has[6] + 0
  end
  return room
end

-- When a message was created, when it was changed last, what it used once, and its body; or nil.
local function message(room, id)
  local stored = redis.call('HGET', room.posts, id) or ''
  local created, version, length, rest = string.match(stored, '^(%d+%-%d+) (%d+%-%d+) (%d+) ()')
  if not created then
    return nil
  end
  return {created = created, version = version, once = string.sub(stored, rest, rest + length - 1),
    body = string.sub(stored, rest + length)}
end

-- Keep a message so, which the event at `position` made or changed.
local function keep(room, id, body, position, created, once)
  redis.call('HSET', room.posts, id, created .. ' ' .. position .. ' ' .. #once .. ' ' .. once .. body)
end

-- {position before, position, payload} of the entry that an event at this position came in with; {} if it was trimmed.
local function entry_of(room, position)
  local found = redis.call('XRANGE', room.log, whole(seq_of(position)), '+', 'COUNT', 1)[1]
  if not found or tag_of(found[1]) ~= tag_of(position) then
    return {}
  end
  local before = redis.call('XREVRANGE', room.log, '(' .. found[1], '-', 'COUNT', 1)[1]
  return {before and before[1] or room.trimmed, found[1], found[2][2]}
end

-- Whether a position joins the log.
local function joins(room, seq, tag)
  if seq < room.gone or seq > room.seq then
    return false
  end
  if seq == room.gone then
    return tag_of(room.trimmed) == tag
  end
  return tag_of(covering(room.log, seq) or '') == tag
end

-- Messages go with the entries that created them; an open answer's stays.
local function trim_messages(room, gone)
  local ids = redis.call('ZRANGEBYSCORE', room.order, '-inf', gone, 'LIMIT', 0, room.begun + 2 * TRIMMED)
  for _, id in ipairs(ids) do
    if not redis.call('ZSCORE', room.open, id) then
      local old = message(room, id)
      if old and old.once ~= '' then
        redis.call('HDEL', room.once, old.once)
      end
      redis.call('HDEL', room.posts, id)
      redis.call('ZREM', room.order, id)
    end
  end
end

-- Let go of what is too much or too old, oldest first. Returns whether there was any.
local function trim(room, now)
  local last = room.seq - room.keep
  local gone, from = room.trimmed, '-'
  for _ = 1, TRIMMED do
    if not room.age and room.bytes <= room.keep_bytes and seq_of(gone) >= last then
      break
    end
    local entry = redis.call('XRANGE', room.log, from, '+', 'COUNT', 1)[1]
    if not entry then
      break
    end
    local seq = seq_of(entry[1])
    local old = room.age and (tonumber(entry[2][4]) or 0) + room.age <= now
    local too_much = seq <= last or room.bytes > room.keep_bytes and seq < room.seq
    if not (old or too_much) then
      break
    end
    gone, from = entry[1], '(' .. entry[1]
    room.bytes = room.bytes - #entry[2][2]
  end
  if gone ~= room.trimmed then
    redis.call('XTRIM', room.log, 'MINID', '=', whole(seq_of(gone) + 1))
    redis.call('HSET', room.meta, 'trimmed', gone, 'bytes', whole(room.bytes))
  end
  if seq_of(gone) > 0 then
    trim_messages(room, whole(seq_of(gone)))
  end
  return gone ~= room.trimmed
end

-- Put an entry on top of the log. The first write of a script, as it fails where the log can take none.
local function add(room, position, payload, now)
  redis.call('XADD', room.log, position, 'p', payload, 't', whole(now))
  room.bytes = room.bytes + #payload
  redis.call('HSET', room.meta, 'top', position, 'bytes', whole(room.bytes))
end

local function tell(room, channel, worker, position, payload)
  redis.call('PUBLISH', channel, 'r ' .. worker .. ' ' .. room.top .. ' ' .. position .. ' ' .. payload)
end
